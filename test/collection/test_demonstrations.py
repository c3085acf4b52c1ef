"""Shards of demonstrations: complete, finite, reproducible, and readable by training."""

import argparse
import json

import numpy as np
import pytest

from vla_humanoid_control.cli import collect as cli
from vla_humanoid_control.collection.demonstrations import Collector
from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS
from vla_humanoid_control.types import RobotObservation

ROBOT = load_robot('humanoid')


def make_shard(seed, frames, driver=None):
    *_, (_, shard) = Collector(ROBOT, driver).shard(seed, frames)
    return shard


def test_a_saved_shard_is_what_training_reads(tmp_path):
    shard = make_shard(3, 150)
    shard.save(tmp_path / 'shard_00000', ROBOT, 'train', 3)
    read = ShardSet(find_shards([tmp_path])['train'])
    assert read.frame_count() == len(shard.frames) >= 150
    assert len(read.samples) == len(shard.rows) > 2 * len(shard.frames)
    assert read.spec.channels == ROBOT.action_channels
    assert not list(tmp_path.glob('*.partial'))


def test_labels_are_within_the_limits_of_the_robot():
    actions = np.stack([row[4] for row in make_shard(4, 150).rows])
    assert np.isfinite(actions).all()
    joints = ROBOT.controlled
    assert (actions[..., 3:] >= [j.lower - 1e-6 for j in joints]).all()
    assert (actions[..., 3:] <= [j.upper + 1e-6 for j in joints]).all()
    assert (abs(actions[..., :3]) <= [ROBOT.base[c].velocity for c in ROBOT.action_channels[:3]]
            ).all()


def test_same_seed_same_shard():
    first, second = make_shard(5, 40), make_shard(5, 40)
    np.testing.assert_array_equal(np.stack(first.frames), np.stack(second.frames))
    np.testing.assert_array_equal(np.stack([r[4] for r in first.rows]),
                                  np.stack([r[4] for r in second.rows]))


def test_in_harder_scenes_it_learns_to_step_aside():
    *_, (_, shard) = Collector(ROBOT, tasks=['go_to:red:box'], harder=True).shard(8, 150)
    sideways = [abs(row[4][:, 1]).max() for row in shard.rows
                if TASK_KEYS[row[1]] == 'go_to:red:box']
    assert max(sideways) > 0.05


def test_one_frame_has_different_labels_for_different_words():
    shard = make_shard(6, 60)
    by_frame = {}
    for row in shard.rows:
        by_frame.setdefault(row[0], {})[row[1]] = row[4][0]
    differing = [f for f, labels in by_frame.items()
                 if len({tuple(np.round(a[:3], 2)) for a in labels.values()}) > 1]
    assert len(differing) > len(by_frame) / 2


class StandStill:
    """A driver that does nothing, and notes what it is asked."""

    def __init__(self):
        self.begun, self.seen = [], []

    def begin(self, key, seed):
        self.begun.append(key)

    def act(self, observation: RobotObservation):
        self.seen.append(observation)
        return np.zeros(3), {j.name: j.home for j in ROBOT.controlled}


def test_the_expert_labels_what_another_driver_gets_into():
    driver = StandStill()
    shard = make_shard(7, 30, driver)
    assert driver.begun
    assert driver.seen[0].images['head'].shape == (96, 128, 3)
    assert any(abs(row[4][:, :3]).max() > 0.1 for row in shard.rows)


@pytest.mark.parametrize(('changes', 'complaint'), [
    ({'frames': 0}, '--frames'), ({'workers': 0}, '--workers'),
    ({'policy': '/nowhere'}, '/nowhere'), ({'rollouts': 5}, '--policy'),
    ({'policy': '.'}, 'config.json'), ({'robot': 'no-such'}, 'no-such'),
    ({'seed': -5}, '--seed'), ({'seed': 10_000_000}, '--seed'),
    ({'tasks': ['out_of_scope']}, 'out_of_scope'), ({'tasks': ['fly']}, 'fly'),
    ({'rollouts': 5, 'policy': '.', 'tasks': ['stop']}, '--tasks'),
])
def test_bad_arguments_are_refused_and_nothing_is_written(tmp_path, changes, complaint):
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    arguments = parser.parse_args(['--out', str(tmp_path / 'new')])
    for name, value in changes.items():
        setattr(arguments, name, value)
    with pytest.raises(UserError, match=complaint) as refused:
        cli.run(arguments)
    assert not (tmp_path / 'new').exists()
    assert 'vla collect' not in str(refused.value)  # which the command says already


def test_only_what_it_left_behind_itself_is_removed(tmp_path, monkeypatch):
    """Regression: every folder named *.partial was deleted, of whomever it was."""
    monkeypatch.setattr(cli, 'reports', lambda *_: (report for report in ()))
    for name in ('thesis.partial', 'shard_00001.partial'):
        (tmp_path / name).mkdir()
    (tmp_path / 'shard_notes.partial').write_text('mine', encoding='utf-8')
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    arguments = parser.parse_args(['--out', str(tmp_path)])
    arguments.seed = -1
    with pytest.raises(UserError):
        cli.run(arguments)
    assert (tmp_path / 'shard_00001.partial').exists()
    arguments.seed = 0
    assert cli.run(arguments) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ['shard_notes.partial', 'thesis.partial']


@pytest.mark.slow
def test_collecting_goes_on_where_it_was_interrupted(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, 'SHARD_FRAMES', 3000)
    done = tmp_path / 'shard_00000'
    done.mkdir(parents=True)
    (done / 'meta.json').write_text(json.dumps({'kept': True}))
    (tmp_path / 'shard_00001.partial').mkdir()
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    arguments = parser.parse_args(['--out', str(tmp_path), '--frames', '3000', '--workers', '1'])
    assert cli.run(arguments) == 0
    assert json.loads((done / 'meta.json').read_text()) == {'kept': True}
    assert not (tmp_path / 'shard_00001.partial').exists()
