"""Small synthetic shards: a coloured square on grey, and the action that turns towards it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.tasks.vocabulary import COLOURS, TASK_KEYS

COLOUR_RGB = {'red': (200, 30, 30), 'green': (30, 180, 30), 'blue': (40, 40, 220),
              'yellow': (220, 210, 30)}
ROBOT = load_robot('humanoid')

WriteShard = Callable[..., Path]


def make_shard(path: Path, seed: int, frames: int = 24, split: str = 'train',
               rollouts: bool = False) -> Path:
    """Write a shard; in rollouts an episode succeeds when its image is bright."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 130, (frames, 96, 128, 3)).astype(np.uint8)
    joints = (ROBOT.home + rng.normal(0, 0.05, (frames, len(ROBOT.joints)))).astype(np.float32)
    rows = []
    texts = [*(f'go to the {colour} box' for colour in COLOURS), 'sing me a song']
    for frame in range(frames):
        places = rng.permutation(8)[:2] * 16 + 2
        colours = rng.permutation(4)[:2]
        for place, colour in zip(places, colours, strict=True):
            images[frame, 40:52, place:place + 12] = COLOUR_RGB[COLOURS[colour]]
        if rollouts:
            images[frame] = (images[frame] * (0.5 if frame // 4 % 2 else 1.0)).astype(np.uint8)
        for place, colour in zip(places[:1 if rollouts else 2], colours, strict=False):
            u = (place + 6) / 64 - 1
            action = np.tile([0.0, 0.0, -u] + [0.1] * 19, (8, 1))
            out_of_scope = rollouts and frame // 4 % 4 == 2
            rows.append((frame, TASK_KEYS.index(f'go_to:{COLOURS[colour]}:box'),
                         rng.uniform(0, 5), rng.normal(0, 1, 3), action, 0.5,
                         (1.0, u, 46 / 48 - 1, 1.5), frame // 4 % 2 == 0 and not out_of_scope,
                         len(COLOURS) if out_of_scope else int(colour), frame // 4))
    columns = [np.array(c) for c in zip(*rows, strict=True)]
    names = ('frame', 'task', 'elapsed_s', 'travelled', 'actions', 'progress', 'target')
    kinds = (np.int32, np.int32) + (np.float32,) * 5
    arrays = {n: c.astype(k) for n, c, k in zip(names, columns, kinds, strict=False)}
    if rollouts:
        arrays |= {'success': columns[7].astype(np.float32), 'text': columns[8].astype(np.int32),
                   'episode': columns[9].astype(np.int32),
                   'time_s': arrays['elapsed_s']}
    path.mkdir(parents=True)
    np.save(path / 'frames.npy', images)
    np.save(path / 'joints.npy', joints)
    np.savez(path / 'samples.npz', **arrays)
    meta = {'tasks': list(TASK_KEYS), 'channels': list(ROBOT.action_channels),
            'joint_names': list(ROBOT.joint_names), 'dt_s': 0.1, 'image_size': [128, 96],
            'split': split, 'seed': seed}
    if rollouts:
        meta['texts'] = texts
    (path / 'meta.json').write_text(json.dumps(meta), encoding='utf-8')
    return path


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
    settings['width'] = settings['heads_hidden'] = 32
    settings['vision']['stem'] = [8, 16]
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
def rollout_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rollouts: bright episodes succeed, dark ones and songs do not."""
    root = tmp_path_factory.mktemp('rollouts')
    for i in range(4):
        make_shard(root / f'shard_{i:05d}', 10 + i, frames=64, rollouts=True)
    make_shard(root / 'shard_10000', 199, frames=160, split='val', rollouts=True)
    return root
