"""Shards: what is read, how it is split into batches, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vla_humanoid_control.data.shards import (
    ShardSet,
    epoch_batches,
    find_shards,
    make_batch,
)
from vla_humanoid_control.support.errors import UserError


def test_every_sample_comes_once_an_epoch_beside_others_of_its_frame() -> None:
    frame = np.sort(np.random.default_rng(0).integers(0, 300, 1000))
    batches = epoch_batches(frame, 64, 4, seed=1, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    assert all(60 - 4 <= len(b) <= 64 + 4 for b in batches[:-1])
    frames = sum(len(np.unique(frame[b])) for b in batches)
    assert frames < 480  # 1000 samples, of which up to four share a frame


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    frame = np.repeat(np.arange(50), 5)

    def flat(seed: int, epoch: int) -> list[int]:
        return np.concatenate(epoch_batches(frame, 16, 4, seed, epoch)).tolist()

    assert flat(3, 2) == flat(3, 2)
    assert flat(3, 2) != flat(3, 3)
    assert flat(3, 2) != flat(4, 2)


def test_shards_are_joined_in_order(write_shard: Callable[..., Path], tmp_path: Path) -> None:
    paths = [write_shard(tmp_path / f'shard_{i:05d}', i) for i in range(2)]
    shards = ShardSet(paths)
    assert shards.frame_count() == 48 and len(shards.samples) == 96
    batch = make_batch(shards.samples, np.array([95, 0, 1, 94]))
    images = shards.gather_frames(batch.frames)
    assert batch.frames.tolist() == [0, 47] and batch.frame_of_row.tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(images[0], np.load(paths[0] / 'frames.npy')[0])
    np.testing.assert_array_equal(images[1], np.load(paths[1] / 'frames.npy')[23])


def test_a_history_goes_back_to_the_start_of_its_episode(
        write_shard: Callable[..., Path], tmp_path: Path) -> None:
    paths = [write_shard(tmp_path / f'shard_{i:05d}', i) for i in range(2)]
    before = np.maximum(np.arange(24) - 1, 0)
    before[12] = 12  # an episode begins
    np.save(paths[1] / 'previous.npy', before)
    shards = ShardSet(paths)
    assert shards.history(np.array([5, 24, 26, 37]), 3).tolist() == [
        [5, 5, 5], [24, 24, 24], [24, 25, 26], [36, 36, 37]]
    np.save(paths[1] / 'previous.npy', before + 5)
    with pytest.raises(UserError, match='earlier frame'):
        ShardSet(paths)


def test_splits_are_told_apart_and_unfinished_shards_left_out(
        write_shard: Callable[..., Path], tmp_path: Path) -> None:
    write_shard(tmp_path / 'shard_00000', 0)
    write_shard(tmp_path / 'shard_00001', 1, split='val')
    write_shard(tmp_path / 'shard_00002.partial', 2)
    found = find_shards([tmp_path])
    assert [p.name for p in found['train']] == ['shard_00000']
    assert [p.name for p in found['val']] == ['shard_00001']


def spoil_meta(path: Path, **changes: object) -> None:
    meta = json.loads((path / 'meta.json').read_text())
    (path / 'meta.json').write_text(json.dumps({**meta, **changes}))


def spoil_samples(path: Path, **changes: object) -> None:
    with np.load(path / 'samples.npz') as archive:
        arrays = dict(archive)
    np.savez(path / 'samples.npz', **{**arrays, **changes})


@pytest.mark.parametrize(('spoil', 'words'), [
    (lambda p: (p / 'samples.npz').unlink(), 'cannot be read'),
    (lambda p: (p / 'frames.npy').write_bytes(b'x'), 'cannot be read'),
    (lambda p: spoil_meta(p, tasks=['fly:away']), 'unknown tasks'),
    (lambda p: spoil_meta(p, image_size=[64, 48]), 'image size is 64x48'),
    (lambda p: spoil_meta(p, channels=['base/linear_x']), 'actions are'),
    (lambda p: spoil_samples(p, frame=np.full(48, 24, np.int32)), 'frame numbers'),
    (lambda p: spoil_samples(p, progress=np.full(48, np.nan, np.float32)), 'is not finite'),
    (lambda p: spoil_samples(p, target=np.zeros((48, 3), np.float32)), 'target is'),
])
def test_a_damaged_shard_is_refused(write_shard: Callable[..., Path], tmp_path: Path,
                                    spoil: Callable[[Path], object], words: str) -> None:
    path = write_shard(tmp_path / 'shard_00000', 0)
    spoil(path)
    with pytest.raises(UserError, match=words):
        ShardSet([path])


def test_shards_of_different_robots_are_not_mixed(write_shard: Callable[..., Path],
                                                  tmp_path: Path) -> None:
    paths = [write_shard(tmp_path / f'shard_{i:05d}', i) for i in range(2)]
    spoil_meta(paths[1], dt_s=0.2)
    with pytest.raises(UserError, match='one robot'):
        ShardSet(paths)
