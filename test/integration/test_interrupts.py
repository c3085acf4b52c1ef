"""Ctrl-C as a terminal sends it, to the whole process group, at different moments of each verb."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip('av', reason='needs the simulator: pip install .[sim]')

import av

from vla_humanoid_control.cli.prerequisites import rendering_problem

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(rendering_problem() is not None, reason='nothing to render with')]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 100.0
WALK = '- {id: a, instruction: walk forward, task: move, direction: forward, seed: 3}\n'


class Run:
    """A verb in a session of its own, as in a terminal of its own."""

    def __init__(self, folder: Path, domain_id: int, *arguments: str) -> None:
        self.folder = folder
        self._said = (folder / 'said.txt').open('wb')
        self.process = subprocess.Popen(
            [sys.executable, '-u', '-m', 'vla_humanoid_control.cli.main', *arguments],
            cwd=folder, stdin=subprocess.PIPE, stdout=self._said, stderr=subprocess.STDOUT,
            start_new_session=True, env={
                **os.environ, 'ROS_DOMAIN_ID': str(domain_id), 'ROS_HOME': str(folder / 'ros'),
                'MUJOCO_GL': os.environ.get('MUJOCO_GL', 'egl'),
                'PYTHONPATH': os.pathsep.join((str(ROOT), os.environ.get('PYTHONPATH', '')))},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))

    @property
    def text(self) -> str:
        return (self.folder / 'said.txt').read_text(encoding='utf-8', errors='replace')

    def children(self) -> list[int]:
        path = Path(f'/proc/{self.process.pid}/task/{self.process.pid}/children')
        return list(map(int, path.read_text().split())) if path.exists() else []

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, f'{what}: it has ended.\n{self.text}'
            assert time.monotonic() < end, f'{what}: not seen.\n{self.text}'
            time.sleep(0.05)

    def press_ctrl_c(self) -> int:
        """Gives the exit code, once all that it started is gone, too."""
        children = self.children()
        os.killpg(self.process.pid, signal.SIGINT)
        code = self.process.wait(PATIENCE_S)
        end = time.monotonic() + PATIENCE_S
        while any(Path(f'/proc/{child}').exists() for child in children):
            assert time.monotonic() < end, 'a process is left'
            time.sleep(0.05)
        return code

    def type(self, text: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._said.close()


@pytest.fixture
def vla(tmp_path: Path, domain_id: int) -> Iterator[Callable[..., Run]]:
    (tmp_path / 's.yaml').write_text(WALK, encoding='utf-8')
    runs: list[Run] = []

    def start(*arguments: str) -> Run:
        runs.append(Run(tmp_path, domain_id, *arguments))
        return runs[-1]
    yield start
    for run in runs:
        run.close()


def assert_interrupted(run: Run, verb: str) -> None:
    assert run.press_ctrl_c() == 130, run.text
    assert run.text.strip().splitlines()[-1].endswith(f'vla {verb}: interrupted')
    assert 'Traceback' not in run.text


@pytest.mark.timeout(300)
@pytest.mark.parametrize('mode', [['--interactive'], ['--suite', 's.yaml']])
def test_the_demo_ends_in_order_and_leaves_its_video(mode: list[str],
                                                     vla: Callable[..., Run]) -> None:
    """Regression: rclpy had shut down already, and the demo ended in a traceback and with 1."""
    run = vla('demo', '--headless', '--policy', 'scripted', '--out', 'out', *mode)
    video = 'out/interactive.mp4' if '--interactive' in mode else 'out/demo.mp4'
    run.wait_for(lambda: (run.folder / video).exists()
                 and (run.folder / video).stat().st_size > 0, 'pictures')
    assert_interrupted(run, 'demo')
    with av.open(str(run.folder / video)) as opened:
        assert next(opened.decode(video=0)).width == 1280


@pytest.mark.timeout(300)
def test_the_demo_ends_in_order_while_it_starts(vla: Callable[..., Run]) -> None:
    run = vla('demo', '--headless', '--policy', 'scripted', '--out', 'out', '--suite',
              's.yaml')
    run.wait_for(run.children, 'processes')
    assert_interrupted(run, 'demo')


@pytest.mark.timeout(300)
def test_a_collection_ends_in_order_while_its_workers_start(vla: Callable[..., Run]) -> None:
    """Regression: a worker that was not yet up printed a traceback of its own."""
    run = vla('collect', '--out', 'data', '--frames', '6000', '--workers', '2')
    run.wait_for(lambda: len(run.children()) >= 2, 'workers')
    assert_interrupted(run, 'collect')


@pytest.mark.timeout(300)
def test_a_graph_for_a_robot_ends_as_it_should(vla: Callable[..., Run]) -> None:
    """Ctrl-C is how it is ended: nothing of it is an error, even while its nodes start."""
    run = vla('run', '--policy', 'scripted')
    run.wait_for(lambda: len(run.children()) >= 3, 'nodes')
    assert run.press_ctrl_c() == 0
    assert run.text.strip().splitlines()[-1] == 'vla run: stopped'
    assert 'Traceback' not in run.text


@pytest.mark.timeout(300)
def test_bytes_that_are_no_words_do_not_end_the_interactive_demo(vla: Callable[..., Run]) -> None:
    """Regression: after the first of them nothing that was typed was heard."""
    run = vla('demo', '--headless', '--interactive', '--policy', 'scripted', '--out', 'out')
    run.wait_for(lambda: 'Ready' in run.text, 'ready')
    run.type(b'\xff\xfe\n' + b'x' * 100_000 + b'\n')
    run.wait_for(lambda: run.text.count('not understood') == 2, 'both are refused')
    run.type(b'look left')  # without an end of line: the end of the input is one
    assert run.process.stdin is not None
    run.process.stdin.close()
    assert run.process.wait(PATIENCE_S) == 0, run.text
    assert 'DONE: look left' in run.text and 'Traceback' not in run.text
