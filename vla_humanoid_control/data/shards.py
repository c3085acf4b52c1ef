"""Shards of demonstrations.

A shard is a folder:

    frames.npy    uint8 [N, H, W, 3]
    joints.npy    float32 [N, J]
    previous.npy  int32 [N], the frame a tenth of a second before, of the same episode; itself
                  where there is none. Absent in shards that know no history.
    samples.npz   M samples, several a frame: frame int32 [M], task int32 [M], elapsed_s float32
                  [M], travelled float32 [M, 3], actions float32 [M, 8, A], progress float32 [M],
                  target float32 [M, 4] (visible, u, v, distance; NaN without a target object)
    meta.json     tasks, channels, joint_names, dt_s, image_size, split, seed

Frames are read where they fit into half of the free memory, else mapped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

_COLUMNS: Mapping[str, tuple[int, ...]] = {
    'frame': (), 'task': (), 'elapsed_s': (), 'travelled': (3,), 'actions': (-1, -1),
    'progress': (), 'target': (4,)}
_WHOLE = frozenset(('frame', 'task'))


@dataclass(frozen=True)
class DataSpec:
    """What all shards of a data set have in common.

    Attributes:
        channels: Action channels, A.
        joint_names: Joints, J.
        dt_s: Time between two rows of a chunk [s].
        image_size: Width and height [px].
        horizon: Rows of a chunk.
    """

    channels: tuple[str, ...]
    joint_names: tuple[str, ...]
    dt_s: float
    image_size: tuple[int, int]
    horizon: int


@dataclass(frozen=True)
class Samples:
    """M samples of one or more shards; `frame` counts over all of them.

    Attributes:
        frame: int64 [M]. task: int64 [M], index into `TASK_KEYS`. elapsed_s: float32 [M] [s].
        travelled: float32 [M, 3] [m, m, rad]. actions: float32 [M, H, A]. progress: float32 [M].
        target: float32 [M, 4].
    """

    frame: NDArray[np.int64]
    task: NDArray[np.int64]
    elapsed_s: NDArray[np.float32]
    travelled: NDArray[np.float32]
    actions: NDArray[np.float32]
    progress: NDArray[np.float32]
    target: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frame)


class ShardSet:
    """All shards of one split below some directories.

    Attributes:
        frames: Of each shard, uint8 [N, H, W, 3]. joints: float32 [F, J], of all shards.
        previous: int64 [F], of each frame the one before it, over all shards.
        samples: Of all shards. spec: What the shards have in common.
    """

    def __init__(self, shards: Sequence[Path]) -> None:
        """Open shards.

        Raises:
            UserError: A file is missing or damaged, or the shards do not fit together.
        """
        if not shards:
            raise UserError('No shards to read. Collect demonstrations first: vla collect --help')
        self.frames: list[NDArray[np.uint8]] = []
        joints, columns, previous = [], [], []
        self.spec: DataSpec | None = None
        starts = [0]
        for path in shards:
            meta = read_meta(path)
            frames, own_joints, own = _read_shard(path)
            before = _read_previous(path, len(frames))
            spec = _spec(meta, own)
            _check(path, spec, frames, own_joints, own, meta)
            if self.spec not in (None, spec):
                raise UserError(f'Shard {path} has other channels, joints, image size or rate '
                                'than the shards before it. Train on shards of one robot.')
            self.spec = spec
            own['frame'] = own['frame'].astype(np.int64) + starts[-1]
            own['task'] = np.array([TASK_KEYS.index(t) for t in meta['tasks']])[own['task']]
            self.frames.append(frames)
            joints.append(own_joints)
            previous.append(before + starts[-1])
            columns.append(own)
            starts.append(starts[-1] + len(frames))
        if sum(f.nbytes for f in self.frames) < _free_memory() // 2:
            # A mapped frame costs over a millisecond at its first touch, in page faults.
            self.frames = [np.array(f) for f in self.frames]
        self._starts = np.array(starts)
        self.joints: NDArray[np.float32] = np.concatenate(joints).astype(np.float32)
        self.previous: NDArray[np.int64] = np.concatenate(previous)
        merged = {key: np.concatenate([c[key] for c in columns]) for key in columns[0]}
        self.samples = Samples(**{key: merged[key] for key in _COLUMNS})

    def frame_count(self) -> int:
        """Frames in all shards."""
        return int(self._starts[-1])

    def gather_histories(self, index: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
        """Frames with those before them, uint8 [F, T, H, W, 3], oldest first."""
        shown = self.history(index, count)
        frames = self.gather_frames(shown.reshape(-1))
        return frames.reshape(*shown.shape, *frames.shape[1:])

    def history(self, index: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Numbers of frames [F] with those before them, [F, T], oldest first."""
        rows = [index]
        for _ in range(count - 1):
            rows.append(self.previous[rows[-1]])
        return np.stack(rows[::-1], axis=1)

    def gather_frames(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Frames by their number over all shards, uint8 [F, H, W, 3]."""
        result = np.empty((len(index), *self.frames[0].shape[1:]), np.uint8)
        shard = np.searchsorted(self._starts, index, side='right') - 1
        for row in np.argsort(index):  # in the order of the files
            s = shard[row]
            result[row] = self.frames[s][index[row] - self._starts[s]]
        return result


@dataclass(frozen=True)
class Batch:
    """Rows for one step: sample numbers, and the frames that they look at.

    Attributes:
        rows: int64 [B]. frames: int64 [F], distinct. frame_of_row: int64 [B], index into `frames`.
    """

    rows: NDArray[np.int64]
    frames: NDArray[np.int64]
    frame_of_row: NDArray[np.int64]


def epoch_batches(frame: NDArray[np.int64], batch_size: int, per_frame: int, seed: int,
                  epoch: int) -> list[NDArray[np.int64]]:
    """Split all samples into batches of about `batch_size`, the same for the same seed and epoch.

    Samples of one frame come together in groups of at most `per_frame`, because a frame is encoded
    once for its group.

    Args:
        frame: int64 [M], frame of each sample.
        batch_size: Samples in a batch.
        per_frame: Samples of one frame in a group.
        seed: Source of chance.
        epoch: Source of chance.

    Returns:
        Sample numbers of each batch; together every sample once.
    """
    rng = np.random.default_rng((seed, epoch))
    order = np.lexsort((rng.random(len(frame)), frame))
    sorted_frame = frame[order]
    new_frame = np.r_[True, sorted_frame[1:] != sorted_frame[:-1]]
    place = np.arange(len(frame)) - np.flatnonzero(new_frame)[np.cumsum(new_frame) - 1]
    group_of = np.cumsum(place % per_frame == 0) - 1  # [M]
    sizes = np.bincount(group_of)
    starts = np.r_[0, np.cumsum(sizes)]
    shuffled = rng.permutation(len(sizes))
    batch_of = (np.cumsum(sizes[shuffled]) - 1) // batch_size
    cuts = np.flatnonzero(np.diff(batch_of)) + 1
    return [np.concatenate([order[starts[g]:starts[g + 1]] for g in groups])
            for groups in np.split(shuffled, cuts)]


def make_batch(samples: Samples, rows: NDArray[np.int64]) -> Batch:
    """Rows with their distinct frames."""
    frames, inverse = np.unique(samples.frame[rows], return_inverse=True)
    return Batch(rows, frames, inverse.astype(np.int64))


def write_shard(path: Path, frames: Sequence[NDArray[np.uint8]],
                joints: Sequence[NDArray[np.float64]], columns: Mapping[str, Sequence[Any]],
                meta: Mapping[str, Any], previous: Sequence[int] = ()) -> None:
    """Write a shard, atomically: an interrupted one leaves nothing behind that counts.

    Args:
        path: Its folder; must not exist.
        frames: N images, uint8 [H, W, 3].
        joints: N joint positions, [J].
        columns: Of the samples, by name; those that count something are written as integers.
        meta: What `meta.json` says.
        previous: Of each frame the one before it; none where nothing is known of that.
    """
    partial = path.with_name(path.name + '.partial')
    partial.mkdir(parents=True, exist_ok=True)
    np.save(partial / 'frames.npy', np.stack(frames))
    np.save(partial / 'joints.npy', np.stack(joints).astype(np.float32))
    if len(previous):
        np.save(partial / 'previous.npy', np.asarray(previous, np.int32))
    arrays: dict[str, Any] = {
        name: np.asarray(values, np.int32 if name in _WHOLE else np.float32)
        for name, values in columns.items()}
    np.savez(partial / 'samples.npz', **arrays)
    (partial / 'meta.json').write_text(json.dumps(meta, indent=1), encoding='utf-8')
    os.replace(partial, path)


def find_shards(directories: Sequence[Path]) -> dict[str, list[Path]]:
    """Shards below some directories, by split ('train', 'val'), in a fixed order.

    Raises:
        UserError: A directory is missing or has no shard.
    """
    result: dict[str, list[Path]] = {'train': [], 'val': []}
    for directory in directories:
        found = sorted(p.parent for p in directory.glob('shard_*/meta.json')
                       if p.parent.suffix != '.partial')
        if not found:
            raise UserError(f'{directory} has no shards (folders shard_00000, ... with '
                            'meta.json). Collect demonstrations first: vla collect --help')
        for path in found:
            split = read_meta(path).get('split')
            if split not in result:
                raise UserError(f'Shard {path}: split is {split!r}, must be train or val.')
            result[split].append(path)
    return result


def read_meta(path: Path) -> dict[str, Any]:
    """`meta.json` of a shard."""
    try:
        meta = json.loads((path / 'meta.json').read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise UserError(f'Shard {path}: meta.json cannot be read: {error}') from error
    missing = {'tasks', 'channels', 'joint_names', 'dt_s', 'image_size', 'split'} - set(meta)
    if missing:
        raise UserError(f'Shard {path}: meta.json lacks {", ".join(sorted(missing))}.')
    unknown = [t for t in meta['tasks'] if t not in TASK_KEYS]
    if unknown:
        raise UserError(f'Shard {path}: unknown tasks {unknown[:5]}.')
    result: dict[str, Any] = meta
    return result


def iterate(total: int, batch_size: int) -> Iterator[NDArray[np.int64]]:
    """Numbers 0 to `total` in blocks, in order."""
    for start in range(0, total, batch_size):
        yield np.arange(start, min(start + batch_size, total))


def _read_shard(path: Path
                ) -> tuple[NDArray[np.uint8], NDArray[np.float32], dict[str, NDArray[Any]]]:
    try:
        frames = np.load(path / 'frames.npy', mmap_mode='r')
        joints = np.load(path / 'joints.npy')
        with np.load(path / 'samples.npz') as archive:
            missing = [c for c in _COLUMNS if c not in archive]
            if missing:
                raise UserError(f'Shard {path}: samples.npz lacks {", ".join(missing)}.')
            columns = {c: archive[c] for c in _COLUMNS}
    except (OSError, ValueError) as error:
        raise UserError(f'Shard {path} cannot be read: {error}. Collect it again.') from error
    return frames, joints, columns


def _read_previous(path: Path, frames: int) -> NDArray[np.int64]:
    if not (path / 'previous.npy').exists():
        return np.arange(frames)
    try:
        previous = np.load(path / 'previous.npy').astype(np.int64)
    except (OSError, ValueError) as error:
        raise UserError(f'Shard {path} cannot be read: {error}. Collect it again.') from error
    if previous.shape != (frames,) or (previous < 0).any() or (previous > np.arange(frames)).any():
        raise UserError(f'Shard {path} is damaged: previous.npy must name an earlier frame for '
                        'each. Collect it again.')
    found: NDArray[np.int64] = previous
    return found


def _free_memory() -> int:
    """Memory that can be had without swapping [bytes]; 0 where the system does not tell."""
    try:
        text = Path('/proc/meminfo').read_text(encoding='ascii')
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith('MemAvailable:'):
            return int(line.split()[1]) * 1024
    return 0


def _spec(meta: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]) -> DataSpec:
    width, height = meta['image_size']
    return DataSpec(tuple(meta['channels']), tuple(meta['joint_names']), float(meta['dt_s']),
                    (int(width), int(height)), int(columns['actions'].shape[1]))


def _check(path: Path, spec: DataSpec, frames: NDArray[np.uint8], joints: NDArray[np.float32],
           columns: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
    """Refuse what does not fit, once, at the border."""
    width, height = spec.image_size
    count = len(columns['frame'])
    problems = []
    if frames.shape[1:] != (height, width, 3) or frames.dtype != np.uint8:
        problems.append(f'frames are {frames.dtype} {frames.shape}, '
                        f'image size is {width}x{height}')
    if joints.shape != (len(frames), len(spec.joint_names)):
        problems.append(f'joints are {joints.shape}')
    if columns['actions'].shape[1:] != (spec.horizon, len(spec.channels)):
        problems.append(f'actions are {columns["actions"].shape} '
                        f'for {len(spec.channels)} channels')
    problems += [f'{name} is {value.shape}' for name, value in columns.items()
                 if name != 'actions' and value.shape != (count, *_COLUMNS[name])]
    if not problems and count:
        if columns['frame'].min() < 0 or columns['frame'].max() >= len(frames):
            problems.append('frame numbers lie outside frames.npy')
        if columns['task'].min() < 0 or columns['task'].max() >= len(meta['tasks']):
            problems.append('task numbers lie outside the list of tasks')
        bad = [n for n in ('elapsed_s', 'travelled', 'actions', 'progress')
               if not np.isfinite(columns[n]).all()]
        problems += [f'{n} is not finite' for n in bad]
    if problems:
        raise UserError(f'Shard {path} is damaged: {"; ".join(problems)}. Collect it again.')
