"""Measures trust: from recorded rollouts of any policy to its trust artifact.

    rollouts ─► describe ─► learn signals ─► combine, calibrate, threshold ─► judge
                              FIT, in folds     FIT, FIT, THRESHOLD             JUDGE

Episodes are parted by a hash of their names (`confidence/fitting.py`). What a signal has learnt is
judged on episodes that it did not learn from, within FIT by folds. Beside the rollouts, which may
hold too few failures of a kind, the policy is asked again about images that are corrupted or show
something else altogether, and about requests that are beyond the robot.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.artifact import TrustArtifact
from vla_humanoid_control.confidence.combine import IMPLAUSIBLE
from vla_humanoid_control.confidence.fitting import (
    FIT,
    JUDGE,
    PART_SHARES,
    HeldOut,
    check_parts,
)
from vla_humanoid_control.confidence.signals.density import Density, Perceptron
from vla_humanoid_control.confidence.signals.learnt import (
    Description,
    LearntSignals,
    outcome_inputs,
)
from vla_humanoid_control.confidence.signals.meter import SignalMeter
from vla_humanoid_control.confidence.signals.views import ViewFeatures, ViewSignals
from vla_humanoid_control.confidence.signals.words import WordSignals, sentence_vectors
from vla_humanoid_control.data.parts import parts_of
from vla_humanoid_control.data.rollouts import RecordedEpisode, RolloutsFolder
from vla_humanoid_control.interfaces import CONFIDENCE, PolicyError
from vla_humanoid_control.learning.corruptions import corrupt
from vla_humanoid_control.learning.pictures import draw_picture
from vla_humanoid_control.policy.embodiment import FittedPolicy
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.progress import ProgressLine
from vla_humanoid_control.tasks.phrasings import rehearsed
from vla_humanoid_control.types import BASE_CHANNELS, RobotObservation

PICTURES = 8000
"""Pictures of anything else that image novelty learns from."""
BROKEN_SHARES = {'corrupted': 0.25, 'picture': 0.1, 'beyond': 0.3}
"""How much the samples that are broken on purpose weigh beside the rollouts."""
_BROKEN = 1500  # samples of a kind and part, at most
_PATIENCE_S = 120.0  # for asking about samples of a kind and part; then there are fewer
_FOLDS = 4
_HIDDEN, _EPOCHS = 64, 5  # of `outcome`: there are far fewer episodes than answers
_PROGRESS_EPOCHS = 60  # time tells more of it than anything does of failure
_LEAST_SCALE = 0.05  # deviations of actions below that are noise, as a share of a joint's range


@dataclass(frozen=True)
class Answers:
    """N answers of a policy, described.

    Attributes:
        plain: Signals that need nothing learnt, [N] each.
        views: Role of a camera to features, float32 [N, F].
        sentences: float32 [N, E]. bodies: float32 [N, B]. embeddings: float32 [N, V].
    """

    plain: Mapping[str, NDArray[np.float64]]
    views: Mapping[str, NDArray[np.float32]]
    sentences: NDArray[np.float32]
    bodies: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.bodies)

    def select(self, rows: NDArray[Any]) -> Answers:
        """Some of them."""
        return Answers({n: v[rows] for n, v in self.plain.items()},
                       {n: v[rows] for n, v in self.views.items()}, self.sentences[rows],
                       self.bodies[rows], self.embeddings[rows])

    def signals(self, learnt: LearntSignals) -> dict[str, NDArray[np.float64]]:
        """All signals but the veto, [N] each."""
        plain = {n: v for n, v in self.plain.items() if n != IMPLAUSIBLE}
        return plain | learnt.measure_many(self.views, self.sentences, self.bodies,
                                           self.embeddings)

    @staticmethod
    def join(parts: Sequence[Answers]) -> Answers:
        """One after the other."""
        def glued(rows: Iterable[NDArray[Any]]) -> NDArray[Any]:
            return np.concatenate(list(rows))
        return Answers({n: glued(p.plain[n] for p in parts) for n in parts[0].plain},
                       {n: glued(p.views[n] for p in parts) for n in parts[0].views},
                       glued(p.sentences for p in parts), glued(p.bodies for p in parts),
                       glued(p.embeddings for p in parts))


@dataclass(frozen=True)
class Recorded:
    """Rollouts, described.

    Attributes:
        episodes: What is known of each but its answers.
        answers: Of all, in order.
        episode: int64 [M], whose each answer is. time_s: [M], since its first answer [s].
        part: int64 [M], `FIT`, `THRESHOLD` or `JUDGE`.
    """

    episodes: Sequence[RecordedEpisode]
    answers: Answers
    episode: NDArray[np.int64]
    time_s: NDArray[np.float64]
    part: NDArray[np.int64]

    def of_episodes(self, values: Sequence[Any]) -> NDArray[Any]:
        """A value of each episode, for each of its answers."""
        return np.array(values)[self.episode]

    @property
    def how_far(self) -> NDArray[np.float64]:
        """Of each answer the share of the time until its episode had succeeded, [M], in [0, 1]."""
        ends = np.full(len(self.episodes), 1e-3)
        np.maximum.at(ends, self.episode, self.time_s)
        for number, episode in enumerate(self.episodes):
            if 'reached_s' in episode.tags:
                ends[number] = max(float(episode.tags['reached_s']), 1e-3)
        return np.minimum(1.0, self.time_s / ends[self.episode])

    @property
    def success(self) -> NDArray[np.bool_]:
        """Whether the episode of each answer did, [M]."""
        return self.of_episodes([bool(e.success) for e in self.episodes])

    @property
    def able(self) -> NDArray[np.bool_]:
        """Whether it was about what the robot can do, [M]."""
        return self.of_episodes([e.able for e in self.episodes])


@dataclass
class TrustMeasurement:
    """Measures one policy.

    Args:
        policy: The policy, to be asked again.
        rollouts: Its rollouts, folders of this policy and robot.
        seed: Of all chance.
        signals: Those to be used; empty for all that can be measured.
    """

    policy: FittedPolicy
    rollouts: Sequence[RolloutsFolder]
    seed: int = 0
    signals: Sequence[str] = ()
    scale: Mapping[str, float] = field(init=False)

    def run(self, output: Path, fingerprint: str) -> tuple[TrustArtifact, HeldOut, Recorded]:
        """Fit, and write the artifact to `output`.

        Raises:
            UserError: There are too few rollouts, or no success or no failure among them.
        """
        self.scale = self._measure_scale()
        features = ViewFeatures.shipped() if self.policy.embodiment.looks_through else None
        self._features = features
        # Features are made of many images at once, which is faster: not by the meter.
        self._meter = SignalMeter(self.policy.embodiment.looks_through,
                                  self.policy.policy.spec.gives, self.scale)
        recorded = self._describe()
        pictures = self._pictures(features)
        fit = recorded.part == FIT
        folds = parts_of([e.id for e in recorded.episodes], (1,) * _FOLDS, 'signals')[
            recorded.episode]
        learnt = self._learn(recorded, fit, pictures)
        values = recorded.answers.signals(learnt)
        for k in range(_FOLDS):
            left_out = fit & (folds == k)
            if left_out.any():
                others = self._learn(recorded, fit & (folds != k), pictures)
                for name, own in recorded.answers.select(left_out).signals(others).items():
                    values[name][left_out] = own
        chosen = [name for name in values if not self.signals or name in self.signals]
        if missing := [n for n in self.signals if n not in values]:
            raise UserError(f'Signals {", ".join(missing)} cannot be measured of this policy: '
                            f'only {", ".join(values)}.')
        held_out = HeldOut(
            {n: values[n] for n in chosen}, recorded.success.astype(np.float64),
            recorded.episode, recorded.time_s.astype(np.float32), recorded.able, recorded.part,
            parts_of([e.id for e in recorded.episodes], (1,) * 5, 'choice of a calibration')[
                recorded.episode],
            {kind: (self._broken(kind, recorded, FIT, learnt, chosen),
                    self._broken(kind, recorded, JUDGE, learnt, chosen))
             for kind in self._kinds(recorded)}, BROKEN_SHARES)
        combination, _ = held_out.combine(tuple(chosen))
        artifact = TrustArtifact(output, fingerprint, self.scale, combination)
        # No signal: it is not weighed, and needs no folds.
        artifact.save(held_out, replace(learnt, progress=self._learn_progress(recorded, fit)))
        return artifact, held_out, recorded

    def _measure_scale(self) -> dict[str, float]:
        """Of each channel the deviation of what was asked of it in episodes that succeeded."""
        rows = [np.stack([s.chunk.actions[0] for s in e.steps])
                for folder in self.rollouts for e in _shown(folder, 'scale of actions', False)
                if e.steps and e.success]
        if not rows:
            raise UserError('No episode succeeded: there is nothing to trust, and nothing to '
                            'measure it by.')
        deviations = np.concatenate(rows).std(axis=0)
        robot = self.policy.embodiment.robot
        return {c: float(max(d, _LEAST_SCALE * min(1.0, 1.0 if c in BASE_CHANNELS else
                                                   robot.joint(c).upper - robot.joint(c).lower)))
                for c, d in zip(self.policy.spec.channels, deviations)}

    def _describe(self) -> Recorded:
        episodes: list[RecordedEpisode] = []
        parts, numbers, times = [], [], []
        says_progress: set[bool] = set()
        for folder in self.rollouts:
            for episode in _shown(folder, 'rollouts'):
                if not episode.steps or episode.success is None:
                    continue
                self._meter.begin(episode.prompt)
                described = [self._meter.describe(s.seen, s.chunk) for s in episode.steps]
                parts.append(self._answers(described, [s.seen for s in episode.steps],
                                           sentence_vectors([episode.prompt])[0]))
                numbers += [len(episodes)] * len(described)
                first_ns = episode.steps[0].seen.stamp_ns
                times += [(s.seen.stamp_ns - first_ns) / 1e9 for s in episode.steps]
                episodes.append(replace(episode, steps=()))
                says_progress.update(s.chunk.says_progress for s in episode.steps)
        self._says_progress = says_progress != {False}
        episode_of = np.array(numbers, np.int64)
        # Those of one request that is beyond the robot go together: one that was fitted on would
        # judge nothing.
        names = [e.id if e.able else e.prompt for e in episodes]
        part = parts_of(names, PART_SHARES, 'calibration')[episode_of]
        success = np.array([bool(e.success) for e in episodes])
        check_parts(part, success[episode_of], episode_of)
        return Recorded(episodes, Answers.join(parts), episode_of, np.array(times), part)

    @property
    def _reads_words(self) -> bool:
        """Whether the policy itself says nothing of how likely it is to succeed."""
        return not self.policy.policy.spec.gives & {CONFIDENCE, 'head'}

    def _learn(self, recorded: Recorded, rows: NDArray[np.bool_],
               pictures: NDArray[np.float32]) -> LearntSignals:
        """Signals that have learnt from some of the answers."""
        some, success = recorded.answers.select(rows), recorded.success[rows]
        views = {camera: ViewSignals.fit(features, success, pictures, self.seed)
                 for camera, features in some.views.items()}
        words = outcome = embedding = None
        if self._reads_words:
            numbers = np.unique(recorded.episode[rows])
            own = [recorded.episodes[i] for i in numbers]
            first = np.searchsorted(recorded.episode, numbers)
            words = WordSignals.fit(recorded.answers.sentences[first],
                                    np.array([bool(e.success) for e in own]),
                                    np.array([e.able or _is_absent(e) for e in own]))
            outcome = Perceptron.fit(
                outcome_inputs(some.views, some.sentences, some.bodies),
                (~success).astype(np.float64),
                np.ones(len(success)), self.seed, _HIDDEN, _EPOCHS)
        if some.embeddings.shape[1]:
            embedding = Density.fit(some.embeddings[success])
        return LearntSignals(self._features, views, words, outcome, embedding=embedding)

    def _learn_progress(self, recorded: Recorded, rows: NDArray[np.bool_]) -> Perceptron | None:
        """How far a task has come, of successes alone; None where the policy says so itself."""
        if self._says_progress:
            return None
        won = rows & recorded.success
        some = recorded.answers.select(won)
        return Perceptron.fit(outcome_inputs(some.views, some.sentences, some.bodies),
                              recorded.how_far[won], np.ones(won.sum()), self.seed, _HIDDEN,
                              _PROGRESS_EPOCHS)

    def _answers(self, described: Sequence[Description], seen: Sequence[RobotObservation],
                 sentence: NDArray[np.float32]) -> Answers:
        views = {} if self._features is None else {
            role: self._features([s.images[camera] for s in seen])
            for role, camera in self.policy.embodiment.looks_through.items()}
        return Answers(
            {n: np.array([d.plain[n] for d in described]) for n in described[0].plain}, views,
            np.tile(sentence, (len(described), 1)), np.stack([d.body for d in described]),
            np.stack([d.embedding for d in described]))

    def _pictures(self, features: ViewFeatures | None) -> NDArray[np.float32]:
        if features is None:
            return np.zeros((0, 0), np.float32)
        rng, line, rows = np.random.default_rng((self.seed, 21)), ProgressLine('pictures'), []
        began = time.monotonic()
        for done in range(0, PICTURES, 64):
            rows.append(features([draw_picture(rng) for _ in range(64)]))
            spent = time.monotonic() - began
            line.show((done + 64) / PICTURES, (done + 64) / spent, 'pictures',
                      spent / (done + 64) * (PICTURES - done - 64), '')
        line.close()
        return np.concatenate(rows)

    # --- what is broken on purpose -----------------------------------------------------------

    def _kinds(self, recorded: Recorded) -> list[str]:
        kinds = ['corrupted', 'picture'] if self.policy.embodiment.looks_through else []
        return [*kinds, 'beyond'] if self._requests(recorded, FIT) else kinds

    def _requests(self, recorded: Recorded, part: int) -> list[str]:
        """Requests beyond the robot that were said in a part, or that are known in simulation."""
        said = {recorded.episodes[i].prompt for i in np.unique(recorded.episode[
            recorded.part == part]) if not recorded.episodes[i].able
            and not _is_absent(recorded.episodes[i])}
        if any('task' in e.tags for e in recorded.episodes):
            known = rehearsed(None, 'val')
            said |= {k for k, of in zip(known, parts_of(known, PART_SHARES, 'calibration'))
                     if of == part}
        return sorted(said)

    def _broken(self, kind: str, recorded: Recorded, part: int, learnt: LearntSignals,
                chosen: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Signals of answers to what no policy should act on."""
        rng = np.random.default_rng((self.seed, part, list(BROKEN_SHARES).index(kind)))
        requests = self._requests(recorded, part)
        wanted = {recorded.episodes[i].id for i in np.unique(
            recorded.episode[recorded.part == part]).tolist()}
        total = int((recorded.part == part).sum())
        share = min(1.0, _BROKEN / max(1, total))
        parts: list[Answers] = []
        line, began, done = ProgressLine(f'asking about {kind}'), time.monotonic(), 0
        for folder in self.rollouts:
            for episode in map(folder.read, [name for name in folder.ids if name in wanted]):
                if time.monotonic() - began > _PATIENCE_S:
                    break
                for step in episode.steps:
                    if rng.random() >= share:
                        continue
                    text = str(rng.choice(requests)) if kind == 'beyond' else episode.prompt
                    seen = _spoilt(kind, step.seen, rng)
                    self._meter.begin(text)
                    try:
                        self.policy.reset(text)
                        chunk = self.policy.ask(seen)
                    except PolicyError:  # it refuses, which is what it should do
                        continue
                    parts.append(self._answers([self._meter.describe(seen, chunk)], [seen],
                                               sentence_vectors([text])[0]))
                    done += 1
                spent = time.monotonic() - began
                line.show(min(1.0, done / max(1.0, share * total)), done / spent, 'answers',
                          spent / max(done, 1) * max(0.0, share * total - done), '')
        line.close()
        if not parts:
            return {name: np.zeros(0) for name in chosen}
        signals = Answers.join(parts).signals(learnt)
        return {name: signals[name] for name in chosen}


def _spoilt(kind: str, seen: RobotObservation, rng: np.random.Generator) -> RobotObservation:
    if kind == 'beyond':
        return seen
    images = {camera: corrupt(image, rng) if kind == 'corrupted' else draw_picture(rng)
              for camera, image in seen.images.items()}
    return replace(seen, images=images)


def _is_absent(episode: RecordedEpisode) -> bool:
    """Whether the words were fine, and what they were about was not there."""
    return episode.tags.get('absent') == 'yes'


def _shown(folder: RolloutsFolder, title: str, with_images: bool = True
           ) -> Iterable[RecordedEpisode]:
    """Its episodes, with a progress line."""
    names, line, began = folder.ids, ProgressLine(title), time.monotonic()
    for number, name in enumerate(names, start=1):
        yield folder.read(name, with_images)
        spent = time.monotonic() - began
        line.show(number / len(names), number / spent, 'episodes',
                  spent / number * (len(names) - number), '')
    line.close()
