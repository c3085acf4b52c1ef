"""From rollouts of a policy to its trust artifact, and how good that is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('torch')

from training_data import make_rollouts

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.confidence.artifact import Monitoring, TrustArtifact
from vla_humanoid_control.confidence.combine import Confidence
from vla_humanoid_control.confidence.fitting import FIT
from vla_humanoid_control.data.rollouts import RolloutsFolder
from vla_humanoid_control.evaluation.trust_report import judge, said, save_page
from vla_humanoid_control.interfaces import (
    ActionChunk,
    ActionGroup,
    ActionKind,
    ActionSpace,
    ImageFeature,
    Observation,
    PolicySpec,
    Prompt,
)
from vla_humanoid_control.learning import trust
from vla_humanoid_control.learning.trust import TrustMeasurement
from vla_humanoid_control.policy.embodiment import Embodiment, FittedPolicy
from vla_humanoid_control.policy.registry import fingerprint, load_policy, monitoring
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.types import Action, Proposal, proposal_of

ROBOT = load_robot('humanoid')


class Teller:
    """Turns to something, and says how dark it is, and perhaps that it is halfway."""

    def __init__(self, gives: frozenset[str], progress: float | None) -> None:
        self.progress = progress
        base = [c for c in ROBOT.action_channels if c.startswith('base/')]
        joints = [c for c in ROBOT.action_channels if not c.startswith('base/')]
        self.spec = PolicySpec(
            (ImageFeature('head', (128, 96)),), (), ActionSpace((
                ActionGroup('base', ActionKind.BASE_TWIST, tuple(base)),
                ActionGroup('joints', ActionKind.JOINT_POSITION, tuple(joints))), 8, 0.1),
            gives=gives)
        self.asked = 0

    def reset(self, prompt: Prompt) -> None:
        self.asked += 1

    def infer(self, observation: Observation) -> ActionChunk:
        dark = 90 - float(observation.images['head'].mean())
        evidence = {'head': np.array(dark / 10)} if self.spec.gives else {}
        return ActionChunk(np.zeros((8, len(self.spec.actions.channels)), np.float32),
                           self.progress, evidence)

    def close(self) -> None:
        pass


Measure = Callable[..., tuple[FittedPolicy, TrustMeasurement]]


@pytest.fixture
def measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    monkeypatch.setattr(trust, 'PICTURES', 192)
    monkeypatch.setattr(trust, '_BROKEN', 60)

    def make(says: bool, signals: tuple[str, ...] = (), frames: int = 400,
             progress: float | None = 0.5) -> tuple[FittedPolicy, TrustMeasurement]:
        policy = Teller(frozenset({'head'} if says else ()), progress)
        fitted = FittedPolicy(policy, Embodiment.fit(policy.spec, ROBOT))
        folder = RolloutsFolder.open(make_rollouts(
            tmp_path / f'rollouts_{says}', 5, frames, evidence=says,
            says_progress=progress is not None))
        return fitted, TrustMeasurement(fitted, [folder], signals=signals)
    return make


def test_a_policy_that_says_nothing_of_itself_gets_a_confidence(measure: Measure, tmp_path: Path
                                                                ) -> None:
    fitted, measurement = measure(says=False)
    artifact, held_out, recorded = measurement.run(tmp_path / 'trust', 'a fingerprint')
    assert set(artifact.combination.signals) == {
        'agreement', 'coverage', 'reversals', 'view', 'picture', 'words', 'scope', 'outcome'}
    report = judge(artifact, held_out, recorded)
    assert report['auroc'] > 0.9
    assert set(report['signals']) == set(artifact.combination.signals)
    assert [p['alpha'] for p in report['promises']] == [0.01, 0.02, 0.05, 0.1]
    assert set(report['broken']) == {'corrupted', 'picture', 'beyond'}
    combination, (_, pictures) = artifact.combination, held_out.broken['picture']
    assert np.mean(combination.calibration(combination.logits(pictures)) < 0.3) > 0.8
    # It is what the robot will measure: the same signals, the same confidence.
    again = TrustArtifact.load(tmp_path / 'trust')
    live = FittedPolicy(fitted.policy, fitted.embodiment, again)
    asked = Monitoring.of(again)
    confidences = {}
    for episode in measurement.rollouts[0]:
        if len(confidences) < 2 and episode.able:
            live.reset(episode.prompt)
            one = Confidence(asked.combination)
            for step in episode.steps:
                chunk = live.infer(step.seen)
                value = one.judge(Proposal(step.seen.stamp_ns, Action.hold(), 0.0, 0.0,
                                           chunk.signals)).confidence
            confidences[bool(episode.success)] = value
    assert confidences[True] > 0.5 > confidences[False]


def test_a_policy_that_never_says_that_it_is_done_gets_a_progress(measure: Measure, tmp_path: Path
                                                                  ) -> None:
    fitted, measurement = measure(says=True, progress=None)
    artifact, held_out, recorded = measurement.run(tmp_path / 'trust', 'x')
    done = judge(artifact, held_out, recorded)['done']
    assert done['successes'] > 2 and done['failures'] > 2
    again = TrustArtifact.load(tmp_path / 'trust')
    live = FittedPolicy(fitted.policy, fitted.embodiment, again)
    assert live.meter.problem(len(ROBOT.joint_names), len(live.spec.channels)) == ''
    first, last = [], []
    for episode in measurement.rollouts[0]:
        if episode.success:
            live.reset(episode.prompt)
            chunks = [live.infer(step.seen) for step in episode.steps]
            assert not any(c.says_progress for c in chunks)
            first.append(chunks[0].progress)
            last.append(chunks[-1].progress)
    assert np.mean(last) - np.mean(first) > 0.2  # most of what it sees here is noise
    assert fitted.infer(episode.steps[0].seen).progress == 0.0  # without an artifact


def test_a_policy_that_says_how_far_it_is_is_believed(measure: Measure, tmp_path: Path) -> None:
    fitted, measurement = measure(says=True)
    artifact, held_out, recorded = measurement.run(tmp_path / 'trust', 'x')
    assert artifact.learnt.progress is None and 'done' not in judge(artifact, held_out, recorded)


def test_what_a_policy_says_itself_is_one_signal_among_others(measure: Measure, tmp_path: Path
                                                              ) -> None:
    fitted, measurement = measure(says=True)
    artifact, held_out, recorded = measurement.run(tmp_path / 'trust', 'x')
    assert set(artifact.combination.signals) == {
        'agreement', 'coverage', 'reversals', 'view', 'picture', 'head'}
    assert fitted.policy.asked > 100  # type: ignore[attr-defined] # about what is broken
    page = save_page(judge(artifact, held_out, recorded), tmp_path / 'trust', 'the <teller>')
    text = page.read_text(encoding='utf-8')
    assert 'the &lt;teller&gt;' in text and 'data:image/png;base64' in text
    figures = json.loads((tmp_path / 'trust' / 'figures.json').read_text())
    assert figures['auroc'] > 0.8 and 'false_stops_per_h' in figures
    assert 'alpha   2 %' in said(figures | {'episodes': []})


def test_the_choice_of_signals_is_a_persons(measure: Measure, tmp_path: Path) -> None:
    _, measurement = measure(says=True, signals=('head', 'view'))
    artifact, _, _ = measurement.run(tmp_path / 'trust', 'x')
    assert set(artifact.combination.signals) == {'head', 'view'}
    _, measurement = measure(says=True, signals=('head', 'mood'))
    with pytest.raises(UserError, match=r'mood cannot be measured.*head'):
        measurement.run(tmp_path / 'other', 'x')
    assert not (tmp_path / 'other').exists()


def test_nothing_that_judges_was_learnt_from(measure: Measure, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn the episodes of the other parts upside down: what was learnt stays as it is."""
    _, measurement = measure(says=False)
    learnt: list[np.ndarray] = []
    real = TrustMeasurement._learn

    def watch(self: TrustMeasurement, recorded: trust.Recorded, rows: np.ndarray,
              pictures: np.ndarray) -> object:
        learnt.append(recorded.part[rows])
        return real(self, recorded, rows, pictures)

    monkeypatch.setattr(TrustMeasurement, '_learn', watch)
    measurement.run(tmp_path / 'trust', 'x')
    assert len(learnt) == 5 and all((parts == FIT).all() for parts in learnt)
    assert sum(len(parts) for parts in learnt[1:]) == 3 * len(learnt[0])


@pytest.mark.parametrize(('success', 'says'), [(True, 'too few'), (False, 'No episode succeeded'),
                                               (None, 'too few')])
def test_without_success_or_failure_there_is_nothing_to_measure(
        measure: Measure, tmp_path: Path, success: bool | None, says: str) -> None:
    _, measurement = measure(says=True)
    (folder,) = measurement.rollouts
    for name in folder.ids:
        episode = folder.read(name)
        kept = success if success is not None or not episode.success else True
        folder.write(replace(episode, success=kept))
    with pytest.raises(UserError, match=says):
        measurement.run(tmp_path / 'trust', 'x')


TELLER = """
import numpy as np
from vla_humanoid_control.interfaces import (
    ActionChunk, ActionGroup, ActionKind, ActionSpace, ImageFeature, PolicySpec)

class Teller:
    def __init__(self, robot):
        base = tuple(c for c in robot.action_channels if c.startswith('base/'))
        joints = tuple(c for c in robot.action_channels if not c.startswith('base/'))
        self.spec = PolicySpec((ImageFeature('head', (128, 96)),), (), ActionSpace((
            ActionGroup('base', ActionKind.BASE_TWIST, base),
            ActionGroup('joints', ActionKind.JOINT_POSITION, joints)), 8, 0.1),
            gives=frozenset({'head'}))

    def reset(self, prompt):
        pass

    def infer(self, observation):
        dark = 90 - float(observation.images['head'].mean())
        return ActionChunk(np.zeros((8, len(self.spec.actions.channels)), np.float32), 0.5,
                           {'head': np.array(dark / 10)})

    def close(self):
        pass
"""


def test_vla_trust_from_rollouts_to_an_artifact_that_a_policy_is_loaded_with(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
        ) -> None:
    (tmp_path / 'teller.py').write_text(TELLER, encoding='utf-8')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trust, 'PICTURES', 192)
    monkeypatch.setattr(trust, '_BROKEN', 60)
    policy = load_policy('teller:Teller', ROBOT)
    rollouts = make_rollouts(tmp_path / 'rollouts', 5, 400,
                             fingerprint('teller:Teller', policy.policy), evidence=True)
    others = make_rollouts(tmp_path / 'others', 5, 8, 'of another', evidence=True)
    out, asked = tmp_path / 'trust', ['trust', '--policy', 'teller:Teller', '--out',
                                      str(tmp_path / 'trust'), '--rollouts']
    assert vla([*asked, str(others)]) == 2
    assert 'rollouts of another policy' in capsys.readouterr().err and not out.exists()
    assert vla([*asked, str(rollouts)]) == 0
    said_of_it = capsys.readouterr().out
    assert 'AUROC' in said_of_it and 'alpha   2 %' in said_of_it
    assert f'--policy teller:Teller --trust {out}' in said_of_it
    assert {p.name for p in out.iterdir()} >= {'trust.json', 'signals.npz', 'held_out.npz',
                                               'page.html', 'figures.json', 'reliability.png'}
    with_trust = load_policy('teller:Teller', ROBOT, trust=str(out))
    with_trust.reset('go to the red box')
    asked_of = monitoring('teller:Teller', str(out))
    episode = next(e for e in RolloutsFolder.open(rollouts) if e.success)
    chunk = with_trust.infer(episode.steps[0].seen)
    judged = Confidence(asked_of.combination, asked_of.trust).judge(proposal_of(
        chunk, episode.steps[0].seen.stamp_ns))
    assert judged.confidence >= asked_of.gate.close_threshold
