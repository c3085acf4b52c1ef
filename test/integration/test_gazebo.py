"""`vla eval --gazebo`: Gazebo and the graph begin anew with each scene, and a mirror judges.

Gazebo and its bridge are played by `gazebo_stand_in.py`, started as they are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from vla_humanoid_control.cli.prerequisites import rendering_problem

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(rendering_problem() is not None, reason='nothing to render with')]

ROOT = Path(__file__).resolve().parents[2]
SUITE = """
- {id: look, instruction: look left, task: gesture, gesture: look_left, seed: 1}
- {id: walk, instruction: walk forward, task: move, direction: forward, seed: 4,
   scene: {room: long, obstacles: 2}}
"""


def eval_in_gazebo(domain_id: int, folder: Path, path: str, prefix: str
                   ) -> subprocess.CompletedProcess[str]:
    (folder / 'suite.yaml').write_text(SUITE, encoding='utf-8')
    return subprocess.run(
        [sys.executable, '-m', 'vla_humanoid_control.cli.main', 'eval', '--gazebo', '--suite',
         'suite.yaml', '--policy', 'scripted', '--json', 'report.json'],
        cwd=folder, capture_output=True, text=True, timeout=110, env={
            **os.environ, 'ROS_DOMAIN_ID': str(domain_id), 'ROS_HOME': str(folder / 'ros'),
            'STAND_IN_SUITE': str(folder / 'suite.yaml'), 'PATH': path,
            'AMENT_PREFIX_PATH': prefix, 'MUJOCO_GL': os.environ.get('MUJOCO_GL', 'egl'),
            'PYTHONPATH': os.pathsep.join((str(ROOT), os.environ.get('PYTHONPATH', '')))})


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{text}\n', encoding='utf-8')
    path.chmod(0o755)


def test_each_scene_is_set_up_and_judged(domain_id: int, tmp_path: Path) -> None:
    stand_in = Path(__file__).with_name('gazebo_stand_in.py')
    program(tmp_path / 'bin' / 'gz', f'[ "$1" = sim ] && exec {sys.executable} {stand_in} "$@"')
    program(tmp_path / 'lib' / 'ros_gz_bridge' / 'parameter_bridge',
            'file=${5#config_file:=}; test -s "$file" && exec sleep 200')
    index = tmp_path / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'ros_gz_bridge'
    index.parent.mkdir(parents=True)
    index.touch()
    done = eval_in_gazebo(domain_id, tmp_path, f'{tmp_path / "bin"}:{os.environ["PATH"]}',
                          f'{tmp_path}:{sys.prefix}')
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / 'report.json').read_text(encoding='utf-8'))
    assert report['ros'] is report['gazebo'] is True
    rows = {e['id']: e for e in report['episodes']}
    assert [(rows[n]['success'], rows[n]['declared_done']) for n in ('look', 'walk')] \
        == [(True, True)] * 2, rows
    assert 2.0 < rows['walk']['seconds'] < 20.0


def test_without_gazebo_one_sentence_says_what_to_install(domain_id: int, tmp_path: Path) -> None:
    done = eval_in_gazebo(domain_id, tmp_path, '/usr/bin:/bin', sys.prefix)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and 'Gazebo is not installed' in done.stderr
    assert 'apt-get install' in done.stderr and not (tmp_path / 'report.json').exists()
