"""`vla demo` and `vla eval --ros`, as a person runs them: processes, topics, files, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('av', reason='needs the simulator: pip install .[sim]')

import av

from vla_humanoid_control.cli.prerequisites import rendering_problem

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(rendering_problem() is not None, reason='nothing to render with')]

ROOT = Path(__file__).resolve().parents[2]
LOOK = '{id: look, instruction: look left, task: gesture, gesture: look_left, seed: 1}'
STOP = '{id: stop, instruction: stop, task: stop, seed: 2}'
BEYOND = '{id: beyond, instruction: file my taxes, task: move, direction: forward, seed: 3}'


def vla(domain_id: int, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `vla` with the scripted policy in a folder of its own."""
    return subprocess.run(
        [sys.executable, '-m', 'vla_humanoid_control.cli.main', *arguments,
         '--policy', 'scripted'],
        cwd=folder, capture_output=True, text=True, timeout=100, env={
            **os.environ, 'ROS_DOMAIN_ID': str(domain_id), 'ROS_HOME': str(folder / 'ros'),
            'MUJOCO_GL': os.environ.get('MUJOCO_GL', 'egl'),
            'PYTHONPATH': os.pathsep.join((str(ROOT), os.environ.get('PYTHONPATH', '')))})


def suite(folder: Path, *episodes: str) -> str:
    path = folder / 'suite.yaml'
    path.write_text(''.join(f'- {e}\n' for e in episodes), encoding='utf-8')
    return str(path)


def brightness(path: Path) -> list[tuple[float, float]]:
    """Of every tenth frame of the demo's video: the 99th percentile of brightness, left and right.

    Below the views is the caption, which is never black.
    """
    with av.open(str(path)) as video:
        frames = [f.to_ndarray(format='rgb24')[:480] for f in video.decode(video=0)]
    assert len(frames) >= 20
    assert frames[0].shape == (480, 1280, 3)
    # The labels of the views are in their upper left corners.
    return [(float(np.percentile(f[40:, :640], 99)), float(np.percentile(f[40:, 640:], 99)))
            for f in frames[::10]]


def test_the_demo_carries_out_a_suite_and_leaves_its_files(domain_id: int,
                                                           tmp_path: Path) -> None:
    done = vla(domain_id, tmp_path, 'demo', '--headless', '--suite',
               suite(tmp_path, LOOK, STOP), '--out', str(tmp_path / 'demo'))
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ('[1/2] done', '[2/2] done', '2 of 2 commands carried out'):
        assert line in done.stdout
    report = json.loads((tmp_path / 'demo' / 'report.json').read_text(encoding='utf-8'))
    assert report['ros'] is True
    assert [c['instruction'] for c in report['commands']] == ['look left', 'stop']
    assert all(c['end_s'] > c['start_s'] and c['success'] for c in report['commands'])
    look, stop = report['episodes']
    assert (look['id'], look['task'], look['key']) == ('look', 'gesture', 'gesture:look_left')
    assert look['success'] and look['declared_done'] and look['reason'] == ''
    assert 2.5 <= look['seconds'] < 12.0
    assert look['mean_confidence'] == pytest.approx(0.9, abs=0.01)
    assert stop['success'] and stop['seconds'] < 0.5
    assert [e['retries'] for e in report['episodes']] == [0, 0]
    assert report['signals'] is None
    assert report['families']['gesture']['successes'] == 1
    views = brightness(tmp_path / 'demo' / 'demo.mp4')
    assert min(min(pair) for pair in views[:2] + views[-2:]) > 40
    timeline = cv2.imread(str(tmp_path / 'demo' / 'timeline.png'))
    assert timeline is not None and timeline.std() > 5
    assert (tmp_path / 'demo' / 'graph.log').stat().st_size > 0


def test_the_demo_says_which_command_failed_and_exits_with_1(domain_id: int,
                                                             tmp_path: Path) -> None:
    done = vla(domain_id, tmp_path, 'demo', '--headless', '--suite', suite(tmp_path, BEYOND),
               '--out', str(tmp_path / 'demo'))
    assert done.returncode == 1, done.stdout + done.stderr
    assert '[1/1] FAILED' in done.stdout
    assert '0 of 1 commands carried out' in done.stdout
    report = json.loads((tmp_path / 'demo' / 'report.json').read_text(encoding='utf-8'))
    episode = report['episodes'][0]
    assert not episode['success'] and not episode['declared_done']
    assert 'confidence' in episode['reason']
    assert episode['retries'] == 3
    assert episode['early_confidence'] == pytest.approx(0.05, abs=0.01)


def test_an_evaluation_through_the_graph_writes_the_report_of_one_in_process(
        domain_id: int, tmp_path: Path) -> None:
    done = vla(domain_id, tmp_path, 'eval', '--ros', '--suite', suite(tmp_path, LOOK, BEYOND),
               '--json', 'report.json')
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))
    assert report['ros'] is True
    rows = {e['id']: e for e in report['episodes']}
    assert list(rows) == ['look', 'beyond']
    fields = {'id': str, 'task': str, 'success': bool, 'declared_done': bool, 'seconds': float,
              'mean_confidence': float, 'safety_interventions': int}
    for row in rows.values():
        assert {name: type(row[name]) for name in fields} == fields
    assert [rows[n]['success'] for n in rows] == [True, False]
    assert [rows[n]['retries'] for n in rows] == [0, 3]
    assert report['families'] == {
        'move': {'n': 1, 'successes': 0, 'wilson_low': 0.0,
                 'wilson_high': pytest.approx(0.793, abs=1e-3)},
        'gesture': {'n': 1, 'successes': 1, 'wilson_low': pytest.approx(0.207, abs=1e-3),
                    'wilson_high': 1.0}}
    assert report['auroc'] == 1.0
    assert report['ece'] == pytest.approx(0.075, abs=0.01)
    assert report['signals'] is None
    assert 'gesture' in done.stdout and 'beyond' in done.stdout
