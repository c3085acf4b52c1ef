"""Small synthetic shards: a coloured square on grey, and the action that turns towards it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from vla_humanoid_control.data.rollouts import (
    RecordedEpisode,
    RolloutsFolder,
    RolloutsHeader,
    Step,
)
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.tasks.vocabulary import COLOURS, TASK_KEYS
from vla_humanoid_control.types import RobotChunk, RobotObservation

COLOUR_RGB = {'red': (200, 30, 30), 'green': (30, 180, 30), 'blue': (40, 40, 220),
              'yellow': (220, 210, 30)}
ROBOT = load_robot('humanoid')

WriteShard = Callable[..., Path]


def make_shard(path: Path, seed: int, frames: int = 24, split: str = 'train') -> Path:
    """Write a shard."""
    rng = np.random.default_rng(seed)
    images, joints, squares = _draw(rng, frames)
    rows = [(frame, TASK_KEYS.index(f'go_to:{COLOURS[colour]}:box'), rng.uniform(0, 5),
             rng.normal(0, 1, 3), _turn_to(u), 0.5, (1.0, u, 46 / 48 - 1, 1.5))
            for frame in range(frames) for u, colour in squares[frame]]
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    names = ('frame', 'task', 'elapsed_s', 'travelled', 'actions', 'progress', 'target')
    kinds = (np.int32, np.int32) + (np.float32,) * 5
    path.mkdir(parents=True)
    np.save(path / 'frames.npy', images)
    np.save(path / 'joints.npy', joints)
    np.savez(path / 'samples.npz', **{n: c.astype(k) for n, c, k in zip(names, columns, kinds)})
    (path / 'meta.json').write_text(json.dumps({
        'tasks': list(TASK_KEYS), 'channels': list(ROBOT.action_channels),
        'joint_names': list(ROBOT.joint_names), 'dt_s': 0.1, 'image_size': [128, 96],
        'split': split, 'seed': seed}), encoding='utf-8')
    return path


def of_another_robot(path: Path, dropped: int = 6) -> Path:
    """Make a shard one of a robot without its last joints, and with names of its own."""
    meta = json.loads((path / 'meta.json').read_text(encoding='utf-8'))
    for names in ('channels', 'joint_names'):
        first = 3 * (names == 'channels')
        kept = meta[names][:-dropped]
        meta[names] = [*kept[:first], *(f'other_{n}' for n in kept[first:])]
    (path / 'meta.json').write_text(json.dumps(meta), encoding='utf-8')
    np.save(path / 'joints.npy', np.load(path / 'joints.npy')[:, :-dropped])
    samples = dict(np.load(path / 'samples.npz'))
    samples['actions'] = samples['actions'][..., :-dropped]
    np.savez(path / 'samples.npz', **samples)
    return path


def make_rollouts(path: Path, seed: int, frames: int = 64, fingerprint: str = 'of a policy',
                  evidence: bool = False, says_progress: bool = True) -> Path:
    """Write episodes of four answers: bright ones succeed, dark ones and songs do not."""
    rng = np.random.default_rng(seed)
    images, joints, squares = _draw(rng, frames)
    folder = RolloutsFolder.create(path, RolloutsHeader(
        'a policy', fingerprint, ROBOT.name, ('head',), ROBOT.joint_names, ROBOT.action_channels,
        8, 0.1, (128, 96), 0.02))
    for number in range(frames // 4):
        dark, song = bool(number % 2), number % 4 == 2
        u, colour = squares[number][0]
        steps = []
        for i in range(4):
            frame = images[4 * number + i]
            seen = RobotObservation(
                10**9 + i * 10**8, {'head': (frame * (0.5 if dark else 1.0)).astype(np.uint8)},
                joints[4 * number + i].astype(np.float64), 0.1 * i, rng.normal(0, 1, 3))
            signals = {'implausible': 0.0}
            own = {'head': np.array((2.0 if dark else -2.0) + rng.normal())} if evidence else {}
            steps.append(Step(seen, RobotChunk(ROBOT.action_channels, _turn_to(u).astype(
                np.float32), 0.1, 0.0, 0.5, signals, says_progress=says_progress, evidence=own),
                0.01))
        prompt = f'sing me song number {number}' if song else f'go to the {COLOURS[colour]} box'
        folder.write(RecordedEpisode(
            f'{seed}-{number:04d}', prompt, not dark and not song, not song,
            tags={'task': f'go_to:{COLOURS[colour]}:box', 'seconds': '0.4'}, steps=steps))
    return path


def _draw(rng: np.random.Generator, frames: int
          ) -> tuple[np.ndarray, np.ndarray, list[list[tuple[float, int]]]]:
    """Grey images with two coloured squares, joints, and where the squares are, with colours."""
    images = rng.integers(90, 130, (frames, 96, 128, 3)).astype(np.uint8)
    joints = (ROBOT.home + rng.normal(0, 0.05, (frames, len(ROBOT.joints)))).astype(np.float32)
    squares = []
    for frame in range(frames):
        places, colours = rng.permutation(8)[:2] * 16 + 2, rng.permutation(4)[:2]
        for place, colour in zip(places, colours, strict=True):
            images[frame, 40:52, place:place + 12] = COLOUR_RGB[COLOURS[colour]]
        squares.append([((place + 6) / 64 - 1, int(colour))
                        for place, colour in zip(places, colours, strict=True)])
    return images, joints, squares


def _turn_to(u: float) -> np.ndarray:
    return np.tile([0.0, 0.0, -u] + [0.1] * 19, (8, 1))


@pytest.fixture
def write_shard() -> WriteShard:
    """`make_shard`."""
    return make_shard


@pytest.fixture(scope='session', autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Word features are computed once a test session, and leave nothing behind."""
    patch = pytest.MonkeyPatch()
    patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
    yield
    patch.undo()


@pytest.fixture(scope='session')
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model configuration that trains in seconds."""
    path = tmp_path_factory.mktemp('model') / 'small.yaml'
    settings = yaml.safe_load(config_path('models', 'default.yaml').read_text(encoding='utf-8'))
    for part in (*settings['parts'].values(), *settings['heads'].values()):
        part.update({name: 32 for name in ('width', 'hidden') if name in part})
    settings['parts']['vision']['stem'] = [8, 16]
    path.write_text(yaml.safe_dump(settings), encoding='utf-8')
    return path


@pytest.fixture(scope='session')
def short_training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training configuration with few phrasings."""
    path = tmp_path_factory.mktemp('train') / 'short.yaml'
    settings = yaml.safe_load(config_path('train', 'bc.yaml').read_text(encoding='utf-8'))
    settings |= {'phrasings_per_task': 2, 'batch_size': 16, 'texts_per_batch': 4,
                 'out_of_scope_per_batch': 2,
                 'warmup_steps': 5, 'validate_every': 4, 'validation_samples': 32,
                 'average': 0.9, 'learning_rate': 0.003}
    path.write_text(yaml.safe_dump(settings), encoding='utf-8')
    return path


@pytest.fixture(scope='session')
def short_confidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of the confidence stage with few requests out of scope."""
    path = tmp_path_factory.mktemp('confidence') / 'short.yaml'
    settings = yaml.safe_load(config_path('train', 'confidence.yaml').read_text(encoding='utf-8'))
    settings |= {'out_of_scope_texts': 50, 'known_phrasings': 2, 'scope_phrasings': 20,
                 'scope_steps': 5, 'epochs': 40, 'batch_size': 64}
    path.write_text(yaml.safe_dump(settings), encoding='utf-8')
    return path


@pytest.fixture(scope='session')
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training shards and one for validation."""
    root = tmp_path_factory.mktemp('data')
    for i in range(2):
        make_shard(root / f'shard_{i:05d}', i)
    make_shard(root / 'shard_10000', 99, split='val')
    return root


@pytest.fixture(scope='session')
def other_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training shards of another robot."""
    root = tmp_path_factory.mktemp('other')
    for i in range(2):
        of_another_robot(make_shard(root / f'shard_{i:05d}', 50 + i))
    return root


@pytest.fixture(scope='session')
def rollout_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rollouts: bright episodes succeed, dark ones and songs do not."""
    return make_rollouts(tmp_path_factory.mktemp('rollouts'), 10, frames=256)
