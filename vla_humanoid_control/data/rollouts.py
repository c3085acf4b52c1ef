"""Recorded episodes of a policy, with all that it saw, what it answered, and how it ended.

A folder holds episodes of one policy on one robot:

    rollouts.json       format, policy and its fingerprint, robot, cameras, joints, channels, dt_s
    episode_NAME.npz    one episode of N answers: joints [N, J], actions [N, H, D] and so on,
                        image/CAMERA as JPEG, evidence/NAME, signal/NAME, and `about`, JSON: id,
                        prompt, success, able, reason, tags

An episode appears whole or not at all, and what is there stays.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.robot_policy import ControlSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import write_atomically
from vla_humanoid_control.types import RobotChunk, RobotObservation

FORMAT = 1
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
         cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
_NAMES = ('cameras', 'joint_names', 'channels')


@dataclass(frozen=True)
class RolloutsHeader:
    """What all episodes of a folder have in common.

    Attributes:
        policy: As it was asked for. fingerprint: Of it; see `policy/registry.py`.
        robot: The robot's name.
        cameras, joint_names, channels, horizon, dt_s: See `ControlSpec`.
        image_size: Of the largest image that the policy looks at [px].
        latency_s: How long after a request its answer was heard [s].
    """

    policy: str
    fingerprint: str
    robot: str
    cameras: tuple[str, ...]
    joint_names: tuple[str, ...]
    channels: tuple[str, ...]
    horizon: int
    dt_s: float
    image_size: tuple[int, int]
    latency_s: float

    @staticmethod
    def of(policy: str, fingerprint: str, robot: str, spec: ControlSpec, latency_s: float
           ) -> RolloutsHeader:
        """That of a policy on a robot."""
        return RolloutsHeader(policy, fingerprint, robot, spec.cameras, spec.joint_names,
                              spec.channels, spec.horizon, spec.dt_s, spec.image_size, latency_s)


@dataclass(frozen=True)
class Step:
    """One answer.

    Attributes:
        seen: What the policy was asked about.
        chunk: What it answered.
        took_s: How long that took [s].
    """

    seen: RobotObservation
    chunk: RobotChunk
    took_s: float


@dataclass(frozen=True)
class RecordedEpisode:
    """One instruction, from its first answer to its end.

    Attributes:
        id: Unique in its folder: letters, digits, `-` and `_`.
        prompt: The instruction, as the policy was given it.
        success: How it ended; None where nobody has said so yet.
        able: Whether the robot was asked for what it can do.
        reason: Why it is no success.
        tags: Whatever else is to be known, such as the task and how the view was impaired.
        steps: The answers in order.
    """

    id: str
    prompt: str
    success: bool | None
    able: bool
    reason: str = ''
    tags: Mapping[str, str] = field(default_factory=dict)
    steps: Sequence[Step] = ()


class RolloutsFolder:
    """Episodes on disk.

    Attributes:
        path: The folder.
        header: What they have in common.
    """

    def __init__(self, path: Path, header: RolloutsHeader) -> None:
        self.path = path
        self.header = header

    @staticmethod
    def create(path: Path, header: RolloutsHeader) -> RolloutsFolder:
        """Begin one, or go on with one of the same policy and robot.

        Raises:
            UserError: It holds those of another, or cannot be written.
        """
        if (path / 'rollouts.json').exists():
            found = RolloutsFolder.open(path)
            same = replace(header, policy=found.header.policy, latency_s=found.header.latency_s)
            if found.header != same:
                raise UserError(f'{path} has rollouts of another policy or robot '
                                f'({found.header.policy} on {found.header.robot}). Give another '
                                'folder.')
            return found
        path.mkdir(parents=True, exist_ok=True)
        data = {'format': FORMAT, **asdict(header)}
        write_atomically(path / 'rollouts.json', json.dumps(data, indent=1).encode())
        return RolloutsFolder(path, header)

    @staticmethod
    def open(path: Path) -> RolloutsFolder:
        """Open one; UserError where there is none, or it is damaged."""
        where = path / 'rollouts.json'
        try:
            data = json.loads(where.read_text(encoding='utf-8'))
            if data.pop('format') != FORMAT:
                raise ValueError('another format')
            data |= {name: tuple(map(str, data[name])) for name in _NAMES}
            width, height = data['image_size']
            header = RolloutsHeader(**data | {'image_size': (int(width), int(height))})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f'{where} cannot be read ({error!r}). Give a folder of rollouts, as '
                            'vla trust and vla record write them.') from error
        return RolloutsFolder(path, header)

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the episodes that are there, in the order of their names."""
        return tuple(sorted(p.name.removeprefix('episode_').removesuffix('.npz')
                            for p in self.path.glob('episode_*.npz')))

    def write(self, episode: RecordedEpisode) -> None:
        """Add an episode, or replace the one of that name."""
        steps, header = episode.steps, self.header
        arrays: dict[str, NDArray[Any]] = {
            'stamp_ns': np.array([s.seen.stamp_ns for s in steps], np.int64),
            'elapsed_s': np.array([s.seen.elapsed_s for s in steps]),
            'travelled': _stack([s.seen.travelled for s in steps], (3,)),
            'joints': _stack([s.seen.joint_positions for s in steps], (len(header.joint_names),)),
            'actions': _stack([s.chunk.actions for s in steps],
                              (header.horizon, len(header.channels))).astype(np.float32),
            'confidence': np.array([s.chunk.confidence for s in steps], np.float64),
            'progress': np.array([s.chunk.progress if s.chunk.says_progress else np.nan
                                  for s in steps], np.float64),
            'took_s': np.array([s.took_s for s in steps])}
        for camera in header.cameras:
            packed = [pack_image(s.seen.images[camera]) for s in steps]
            arrays[f'image/{camera}'] = np.concatenate(packed) if packed else np.zeros(0, np.uint8)
            arrays[f'ends/{camera}'] = np.cumsum([len(p) for p in packed], dtype=np.int64)
        for kind in ('evidence', 'signals'):
            given = [getattr(s.chunk, kind) for s in steps]
            for name in sorted(set().union(*given)):
                arrays[f'{kind}/{name}'] = np.stack([np.asarray(g[name], np.float64)
                                                     for g in given])
        about = {name: getattr(episode, name)
                 for name in ('id', 'prompt', 'success', 'able', 'reason')}
        arrays['about'] = np.array(json.dumps({**about, 'tags': dict(episode.tags)}))
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        write_atomically(self._file(episode.id), file.getvalue())

    def read(self, name: str, with_images: bool = True) -> RecordedEpisode:
        """One episode; UserError where it is damaged. Without images it takes far less time."""
        header, path = self.header, self._file(name)
        try:
            with np.load(path) as file:
                arrays = {key: file[key] for key in file.files
                          if with_images or not key.startswith('image/')}
            about = json.loads(str(arrays['about']))
            images = {camera: _unpack(arrays[f'image/{camera}'], arrays[f'ends/{camera}'])
                      for camera in header.cameras} if with_images else {}
            steps = []
            for i, stamp_ns in enumerate(arrays['stamp_ns'].tolist()):
                seen = RobotObservation(
                    stamp_ns, {camera: own[i] for camera, own in images.items()},
                    arrays['joints'][i], float(arrays['elapsed_s'][i]), arrays['travelled'][i])
                progress = float(arrays['progress'][i])  # not a number where it did not say
                chunk = RobotChunk(
                    header.channels, arrays['actions'][i], header.dt_s,
                    float(arrays['confidence'][i]), 0.0 if math.isnan(progress) else progress,
                    {n: float(v) for n, v in _kind(arrays, 'signals', i).items()},
                    says_progress=not math.isnan(progress), evidence=_kind(arrays, 'evidence', i))
                steps.append(Step(seen, chunk, float(arrays['took_s'][i])))
            return RecordedEpisode(**about, steps=tuple(steps))
        except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile,
                cv2.error) as error:
            raise UserError(f'{path} cannot be read ({error!r}). Remove it, and record it again.'
                            ) from error

    def about(self, name: str) -> RecordedEpisode:
        """The same without its answers, which are not read."""
        path = self._file(name)
        try:
            with np.load(path) as file:
                return RecordedEpisode(**json.loads(str(file['about'])))
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise UserError(f'{path} cannot be read ({error!r}). Remove it, and record it again.'
                            ) from error

    def __iter__(self) -> Iterator[RecordedEpisode]:
        """Every episode, one after the other, so that no more than one need be in memory."""
        return map(self.read, self.ids)

    def _file(self, name: str) -> Path:
        return self.path / f'episode_{name}.npz'


def _stack(rows: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.stack(rows) if rows else np.zeros((0, *shape))


def pack_image(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image, uint8 [H, W, 3], as JPEG, uint8 [N]; one that is packed already stays as it is."""
    if image.ndim == 1:
        return image
    good, data = cv2.imencode('.jpg', image[..., ::-1], _JPEG)
    if not good:
        raise ValueError(f'an image {image.shape} cannot be packed')
    return np.asarray(data, np.uint8).ravel()


def _unpack(data: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
    images = []
    for part in np.split(data, ends[:-1]) if len(ends) else []:
        image = cv2.imdecode(part, cv2.IMREAD_COLOR_RGB)
        if image is None:
            raise ValueError('an image is damaged')
        images.append(np.asarray(image, np.uint8))
    return images


def _kind(arrays: Mapping[str, NDArray[Any]], kind: str, row: int) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(f'{kind}/'): values[row] for name, values in arrays.items()
            if name.startswith(f'{kind}/')}
