"""`vla collect` as a person runs it: what it was asked for lies on the disk, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('mujoco')

from vla_humanoid_control.cli.main import main
from vla_humanoid_control.cli.prerequisites import rendering_problem
from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.robot.reader import load_robot

pytestmark = pytest.mark.skipif(rendering_problem() is not None, reason='nothing to render with')
FRAMES = 24


def collect(out: Path, *more: str) -> int:
    return main(['collect', '--out', str(out), '--frames', str(FRAMES), '--workers', '1',
                 '--tasks', 'gesture:wave', *more])


@pytest.mark.slow
def test_what_was_collected_can_be_read_back(tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    """A collection of which nothing was saved used to pass every test."""
    out = tmp_path / 'demo'
    assert collect(out) == 0
    shards = sorted(out.iterdir())
    assert [s.name for s in shards] == ['shard_00000']
    read = ShardSet(find_shards([out])['train'])
    assert read.frame_count() >= FRAMES
    assert read.spec.channels == load_robot('humanoid').action_channels
    frames = np.load(shards[0] / 'frames.npy')
    assert frames.dtype == np.uint8 and frames.std() > 5  # pictures, and not black
    assert (np.diff(frames.astype(int), axis=0) != 0).any()

    # What is there is kept, what an interrupted run left is removed, the rest is collected.
    before = {p: p.stat().st_mtime_ns for p in out.rglob('*')}
    (out / 'shard_00001.partial').mkdir()
    assert collect(out) == 0
    assert {p: p.stat().st_mtime_ns for p in shards[0].rglob('*')} \
        == {p: t for p, t in before.items() if p != shards[0]}
    assert sorted(out.iterdir()) == shards

    # A trial is not taken for a part of what is collected in earnest.
    capsys.readouterr()
    assert main(['collect', '--out', str(out), '--frames', '6000', '--workers', '1']) == 2
    assert 'shard_00000 is of a smaller collection' in capsys.readouterr().err
