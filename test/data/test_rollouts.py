"""Episodes on disk: what goes in comes out, and what is damaged is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_data import make_rollouts

from vla_humanoid_control.data.rollouts import RolloutsFolder
from vla_humanoid_control.support.errors import UserError


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    folder = RolloutsFolder.open(make_rollouts(tmp_path / 'a', 3, frames=12, evidence=True))
    assert folder.ids == ('3-0000', '3-0001', '3-0002')
    episode = folder.read('3-0001')
    assert (episode.success, episode.able, len(episode.steps)) == (False, True, 4)
    other = RolloutsFolder.create(tmp_path / 'b', folder.header)
    other.write(episode)
    again = other.read('3-0001')
    assert replace(again, steps=()) == replace(episode, steps=()) == folder.about('3-0001')
    for one, two in zip(episode.steps, again.steps, strict=True):
        assert (one.seen.stamp_ns, one.seen.elapsed_s) == (two.seen.stamp_ns, two.seen.elapsed_s)
        np.testing.assert_array_equal(one.seen.joint_positions, two.seen.joint_positions)
        np.testing.assert_array_equal(one.chunk.actions, two.chunk.actions)
        assert one.chunk.signals == two.chunk.signals
        assert one.chunk.evidence['head'] == two.chunk.evidence['head']
        # JPEG at its best, of noise, which is the worst for it.
        assert np.abs(one.seen.images['head'].astype(int) - two.seen.images['head']).mean() < 4


def test_an_episode_without_answers_or_outcome_is_one_all_the_same(tmp_path: Path) -> None:
    folder = RolloutsFolder.open(make_rollouts(tmp_path / 'a', 3, frames=4))
    folder.write(replace(folder.read('3-0000'), id='empty', steps=(), success=None))
    assert folder.read('empty').steps == () and folder.read('empty').success is None


def test_another_policy_does_not_come_into_a_folder(tmp_path: Path) -> None:
    make_rollouts(tmp_path, 3, frames=4)
    make_rollouts(tmp_path, 4, frames=4)  # the same goes on
    assert len(RolloutsFolder.open(tmp_path).ids) == 2
    with pytest.raises(UserError, match='another policy'):
        make_rollouts(tmp_path, 5, frames=4, fingerprint='of another')


@pytest.mark.parametrize('damage', ['none', 'text', 'list', 'format', 'field'])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, damage: str) -> None:
    path = make_rollouts(tmp_path, 3, frames=4) / 'rollouts.json'
    data = json.loads(path.read_text())
    content = {'none': None, 'text': '{', 'list': '[]',
               'format': json.dumps({**data, 'format': 9}),
               'field': json.dumps({**data, 'more': 1})}[damage]
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r'rollouts\.json cannot be read'):
        RolloutsFolder.open(tmp_path)


@pytest.mark.parametrize('damage', ['cut', 'text', 'array', 'image'])
def test_a_damaged_episode_is_refused(tmp_path: Path, damage: str) -> None:
    folder = RolloutsFolder.open(make_rollouts(tmp_path, 3, frames=4))
    path = tmp_path / 'episode_3-0000.npz'
    if damage == 'cut':
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == 'text':
        path.write_text('no archive')
    else:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        if damage == 'array':
            del arrays['actions']
        else:
            arrays['image/head'] = arrays['image/head'] * 0
        np.savez(path, **arrays)
    with pytest.raises(UserError, match=r'3-0000\.npz cannot be read'):
        folder.read('3-0000')
