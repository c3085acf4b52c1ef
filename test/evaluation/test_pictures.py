"""Pictures that are no view of the robot's world."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.confidence.artifact import Monitoring, TrustArtifact
from vla_humanoid_control.evaluation.pictures import (
    PACKAGES,
    check_pictures,
    load_pictures,
    read_picture,
)
from vla_humanoid_control.evaluation.suite import OTHER_PICTURE, load_suite
from vla_humanoid_control.evaluation.trust_report import promises_of, said_promises
from vla_humanoid_control.interfaces import (
    CONFIDENCE,
    ActionChunk,
    ActionGroup,
    ActionKind,
    ActionSpace,
    ImageFeature,
    Observation,
    PolicySpec,
    Prompt,
)
from vla_humanoid_control.policy.embodiment import Embodiment, FittedPolicy
from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path, resource_path

ROBOT = load_robot('humanoid')


class RedLover:
    """Is sure of itself where there is much red, and at first in any case."""

    spec = PolicySpec((ImageFeature('head', (32, 24)),), (), ActionSpace((
        ActionGroup('base', ActionKind.BASE_TWIST, ('base/linear_x',)),), 8, 0.1))

    def reset(self, prompt: Prompt) -> None:
        self.answers = 0

    def infer(self, observation: Observation) -> ActionChunk:
        self.answers += 1
        red = observation.images['head'][..., 0].mean() > 150
        return ActionChunk(np.zeros((8, 1), np.float32), 0.0,
                           {CONFIDENCE: np.array(0.9 if red or self.answers < 5 else 0.1)})

    def close(self) -> None:
        pass


def picture(red: int) -> np.ndarray:
    rng = np.random.default_rng(red)
    image = cv2.resize(rng.integers(0, 60, (6, 8, 3), np.uint8), (80, 60))
    image[..., 0] = red + image[..., 0] // 2
    return np.asarray(image, np.uint8)


def test_a_gate_that_stays_open_is_told_and_one_that_closes_in_time_is_held() -> None:
    policy = FittedPolicy(RedLover(), Embodiment.fit(RedLover.spec, ROBOT))
    verdicts = check_pictures(policy, ROBOT, Monitoring(), {'red': picture(190),
                                                            'dark': picture(60)}, ['walk'])
    assert [v.picture for v in verdicts] == ['red', 'dark']
    assert verdicts[0].held_s is None and verdicts[0].highest == 0.9
    assert verdicts[1].held_s == pytest.approx(0.5) and verdicts[1].highest == 0.1


def test_a_policy_that_sees_nothing_has_nothing_to_show() -> None:
    with pytest.raises(UserError, match='looks at no image'):
        check_pictures(load_policy('scripted', ROBOT), ROBOT, Monitoring(), {'x': picture(0)})


def test_pictures_of_a_folder_and_of_packages_are_found(tmp_path: Path) -> None:
    (tmp_path / 'deep').mkdir()
    cv2.imwrite(str(tmp_path / 'deep' / 'red.png'), picture(190)[..., ::-1])
    (tmp_path / 'notes.txt').write_text('no picture')
    (found,) = load_pictures(tmp_path).items()
    assert found[0] == 'deep/red.png' and found[1].shape == (480, 640, 3)
    assert abs(int(found[1][..., 0].mean()) - int(picture(190)[..., 0].mean())) < 3
    (tmp_path / 'broken.png').write_text('no picture either')
    with pytest.raises(UserError, match=r'broken\.png cannot be read'):
        load_pictures(tmp_path)
    with pytest.raises(UserError, match='has no picture'):
        load_pictures(tmp_path / 'nowhere')
    for name in ('unknown/moon.png', 'sklearn/../x.png', 'sklearn/none.jpg'):
        with pytest.raises(UserError):
            read_picture(name)


def test_the_suite_shows_every_picture_with_every_kind_of_task() -> None:
    assert set(PACKAGES) == {'skimage', 'sklearn', 'matplotlib'}
    for package in ('skimage', 'sklearn', 'matplotlib'):
        pytest.importorskip(package)
    episodes = load_suite(config_path('suites', 'pictures.yaml'))
    assert {e.family for e in episodes} == {OTHER_PICTURE}
    kinds = {(e.picture, e.task.family) for e in episodes}
    assert len(kinds) == len({p for p, _ in kinds}) * len({f for _, f in kinds}) >= 150


@pytest.mark.parametrize(('more', 'says'), [
    ('picture: nowhere/x.png', 'must be of one of'),
    ('picture: sklearn/china.jpg, view: dim', 'nothing else is wrong')])
def test_a_picture_that_cannot_be_shown_is_refused(tmp_path: Path, more: str, says: str) -> None:
    path = tmp_path / 'suite.yaml'
    path.write_text('- {id: a, instruction: turn left, task: turn, direction: left, seed: 1, '
                    f'{more}}}')
    with pytest.raises(UserError, match=says):
        load_suite(path)


def test_the_verb_refuses_what_makes_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]
                                              ) -> None:
    for arguments, says in ((['--pictures', str(tmp_path)], 'vla trust check'),
                            (['check', '--pictures', str(tmp_path)], 'has no picture'),
                            (['--episodes', '0'], 'must be 1 or more'),
                            (['--rollouts', str(tmp_path)], 'rollouts.json')):
        assert vla(['trust', '--policy', 'scripted', '--out', str(tmp_path / 'o'),
                    *arguments]) == 2
        assert says in capsys.readouterr().err
    assert not (tmp_path / 'o').exists()


def test_check_says_how_the_shipped_promise_is_kept() -> None:
    promises = promises_of(TrustArtifact.load(resource_path('trust', 'default')))
    assert [p['alpha'] for p in promises] == [0.01, 0.02, 0.05, 0.1]
    assert all(p['kept'] and p['successes'] > 100 for p in promises)
    stopped = [p['stopped'] for p in promises]
    assert stopped == sorted(stopped) and stopped[-1] > 0
    assert said_promises(promises)[0].startswith(f'alpha   1 %: stopped {stopped[0]} of ')
