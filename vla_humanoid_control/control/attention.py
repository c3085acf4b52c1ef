"""Which object in view a step is about: looked for as it begins, and not lost sight of.

    Attention.look ─► a request ─► Look.find, Look.shown ─► the policy
          ▲                              │
          └──── Attention.take ◄─────────┘ what is seen, with the outcome

Where others have its colour and shape, so that the words that the policy knows cannot tell them
from it, the policy is shown images without these (`perception/hiding.py`). Which is which is
followed from image to image, by where each was and how far the base has come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.language.asking import question_which
from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.questions import Question
from vla_humanoid_control.language.references import of_step
from vla_humanoid_control.language.relations import (
    Kind,
    Reference,
    Relation,
    named_so,
    resolve,
    why_none,
)
from vla_humanoid_control.perception.hiding import hide
from vla_humanoid_control.perception.seen import ObjectFinder, SeenObject
from vla_humanoid_control.support.geometry import rotate, wrap
from vla_humanoid_control.types import RobotObservation

AGREE = 2
"""So many looks one after the other must find the same; of nothing one more."""
MOST_LOOKS = 6
"""Where they do not, the last of so many counts."""
LOOK_DOWN = Step('look down', None, 'gesture:look_down')
"""What is on the table that the robot stands at is below what it sees ahead."""
WATCH_LOOKS = 30
"""So often it is looked, while an object is reached for, whether it is the only one: more of the
table comes into view then."""
_TRUST = 0.5  # how far a position follows what is seen of it each time
_BEARING_RAD, _FACTOR = math.radians(10), 0.35  # what is off by so much is no more likely the same
_LOST = 4.0
_DOUBTFUL, _EDGE = 0.65, 0.015  # score; share of the image


@dataclass(frozen=True)
class Look:
    """What is to be found in an observation before the policy is asked.

    Attributes:
        finder: Finds objects.
        camera: Through which it looks.
        joint_names: Order of `RobotObservation.joint_positions`.
        place: float64 [3], where the base is in the frame of the step: x, y [m], yaw [rad].
        twins: The one meant first, then others of its colour and shape, as they should be seen
            from there; none where nothing is to be hidden.
    """

    finder: ObjectFinder
    camera: str
    joint_names: tuple[str, ...]
    place: NDArray[np.float64]
    twins: tuple[SeenObject, ...] = ()

    def find(self, observation: RobotObservation) -> tuple[SeenObject, ...]:
        """The objects in view."""
        joints = dict(zip(self.joint_names, observation.joint_positions.tolist(), strict=True))
        return self.finder.find(observation.images[self.camera], joints)

    def shown(self, observation: RobotObservation, seen: Sequence[SeenObject]
              ) -> RobotObservation:
        """An observation without the twins of what is meant."""
        if not self.twins:
            return observation
        kind = self.twins[0]
        alike = [s for s in seen if (s.colour, s.shape) == (kind.colour, kind.shape)]
        meant = matched(self.twins, alike)[0]
        others = [s.box for s in alike if s is not meant]
        if not others:
            return observation
        image = hide(observation.images[self.camera], others,
                     [s.box for s in seen if s is meant or s not in alike])
        return replace(observation, images={**observation.images, self.camera: image})


@dataclass(frozen=True)
class Verdict:
    """What came of looking.

    Attributes:
        step: The step, as it is to be done; None where it must not be begun.
        further: What later steps with the same object are about.
        question: What to ask.
        problem: Why nothing can be done, for people.
        first: What to do first, so that more is seen.
    """

    step: Step | None = None
    further: Reference | None = None
    question: Question | None = None
    problem: str = ''
    first: Step | None = None

    def tell(self, task: TaskManager, now_s: float) -> None:
        """Let the task go on, or ask, or fail."""
        if self.question is not None:
            task.ask(self.question, now_s)
        elif self.first is not None:
            task.precede(self.first, now_s)
        elif self.step is None:
            task.fail(self.problem, now_s)
        elif self.further is not None:
            task.settle(self.step, self.further, now_s)


@dataclass
class Attention:
    """Looks for what steps are about.

    Args:
        finder: None where nothing can be looked for: then no step waits for it.
        camera: Through which the finder looks.
        joint_names: Order of `RobotObservation.joint_positions`.
        looks_down: Whether the robot can look down to see more of what is before it.

    Attributes:
        may_act: Whether the policy's answers may be acted on: nothing that was seen so far speaks
            against it.
    """

    finder: ObjectFinder | None
    camera: str
    joint_names: tuple[str, ...]
    looks_down: bool = True
    may_act: bool = field(default=True, init=False)
    _step: Step | None = None  # whose object is being looked for
    _looked_down: Step | None = None  # for which step
    _looks: list[tuple[SeenObject, ...]] = field(default_factory=list)  # what it can be
    _twins: list[tuple[SeenObject, NDArray[np.float64]]] = field(default_factory=list)

    def begin(self, step: Step | None) -> None:
        """A new step, or none."""
        looks = self.finder is not None and step is not None and of_step(step) is not None
        self._step = step if looks else None
        self._looks, self._twins = [], []
        self.may_act = self._step is None

    def look(self, place: NDArray[np.float64]) -> Look | None:
        """What is to be found from where the base is in the frame of the step; None for nothing.

        Args:
            place: float64 [3]: x, y [m], yaw [rad].
        """
        if self.finder is None or (self._step is None and not self._twins):
            return None
        twins = tuple(_seen_from(place, twin, at) for twin, at in self._twins)
        return Look(self.finder, self.camera, self.joint_names, place, twins)

    def take(self, look: Look, seen: Sequence[SeenObject]) -> Verdict | None:
        """Take what was found; None where nothing comes of it yet."""
        if self._step is None:
            self._follow(look, seen)
            return None
        reference = of_step(self._step)
        assert reference is not None
        some = resolve(reference, seen)
        if len(some) > 1:  # what is cut and doubtful may be of another kind, and no reason to ask
            some = resolve(reference, [s for s in seen if not _is_cut(s)]) or some
        self._looks.append(some)
        self.may_act = self._step.reference is None and len(some) < 2
        if not self._is_sure() or (self.may_act and self._step.key.startswith('reach')
                                   and len(self._looks) < WATCH_LOOKS):
            return None
        step, self._step, self.may_act = self._step, None, True
        return self._judge(step, reference, some, seen, look.place)

    def _is_sure(self) -> bool:
        """Whether the newest looks agree, or there were enough of them.

        Several at once must be seen several times running: an object at the image's edge is taken
        for another kind now and then, and where one is reached for it is looked many times.
        """
        running = AGREE if len(self._looks) <= MOST_LOOKS else AGREE + 1
        if len(self._looks[-1]) > 1 and any(len(some) < 2 for some in self._looks[-running:]):
            return False
        newest = self._looks[-(AGREE if self._looks[-1] else AGREE + 1):]
        kinds = {tuple(sorted((s.colour, s.shape) for s in some)) for some in newest}
        needed = AGREE if self._looks[-1] else AGREE + 1
        return len(self._looks) >= MOST_LOOKS or (len(newest) == needed and len(kinds) == 1)

    def _judge(self, step: Step, reference: Reference, some: tuple[SeenObject, ...],
               seen: Sequence[SeenObject], place: NDArray[np.float64]) -> Verdict:
        if len(some) > 1:
            return Verdict(question=question_which(step, reference, some))
        if not some and reference.is_plain:  # it may be behind the robot: the policy searches
            return Verdict(_told(step, reference), reference)
        if not some and step.key.startswith('reach') and self.looks_down \
                and self._looked_down != step:
            self._looked_down = step
            return Verdict(first=LOOK_DOWN)
        if not some and not reference.relations:
            return Verdict(question=question_which(step, reference, ()))
        if not some:
            return Verdict(problem=why_none(reference, seen))
        (meant,) = some
        plain = Reference(meant.colour, meant.shape)
        twins = [s for s in named_so(plain, seen) if s is not meant]
        if twins:
            self._twins = [(s, _place_of(s, place)) for s in (meant, *twins)]
        # Once the robot has gone there, it is the nearest one.
        nearest = replace(plain, relations=(Relation(Kind.NEAREST),))
        return Verdict(_told(step, plain), nearest if twins else plain)

    def _follow(self, look: Look, seen: Sequence[SeenObject]) -> None:
        """Correct where the twins are by where they are seen."""
        if not look.twins or len(look.twins) != len(self._twins):
            return
        for number, found in enumerate(matched(look.twins, seen)):
            if found is not None:
                _, at = self._twins[number]
                new = at + _TRUST * (_place_of(found, look.place) - at)
                self._twins[number] = found, new


def _is_cut(seen: SeenObject) -> bool:
    """Whether an object goes on beyond the image, and what it is, is doubtful."""
    left, top, right, bottom = seen.box
    return seen.score < _DOUBTFUL and min(left, top, 1 - right, 1 - bottom) < _EDGE


def _told(step: Step, plain: Reference) -> Step:
    """A step in words that the policy knows, about an object of a colour and a shape."""
    if (said := step.reference) is None:
        return step
    text = step.text.replace(said.words, plain.name, 1) if said.words else step.text
    return Step(text, step.quantity, f'{step.key}:{plain.colour}:{plain.shape}')


def matched(expected: Sequence[SeenObject], seen: Sequence[SeenObject]
            ) -> list[SeenObject | None]:
    """Which of the objects that are seen each expected one is: the likeliest pairs first."""
    pairs = sorted(((_unlike(e, s), i, j) for i, e in enumerate(expected)
                    for j, s in enumerate(seen) if (e.colour, e.shape) == (s.colour, s.shape)))
    result: list[SeenObject | None] = [None] * len(expected)
    taken: set[int] = set()
    for unlike, i, j in pairs:
        if unlike < _LOST and result[i] is None and j not in taken:
            result[i] = seen[j]
            taken.add(j)
    return result


def _unlike(expected: SeenObject, seen: SeenObject) -> float:
    """How far off an object is seen from where it is expected; 0 where it is there."""
    # A small step of the base turns the direction of what is near far.
    bearing_rad = _BEARING_RAD * max(1.0, 1.0 / max(expected.distance_m, 0.3))
    aside = wrap(seen.bearing_rad - expected.bearing_rad) / bearing_rad
    return math.hypot(aside, math.log(seen.distance_m / expected.distance_m) / _FACTOR)


def _place_of(seen: SeenObject, place: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [2], where an object is in the frame of the step [m]."""
    yaw = float(place[2]) + seen.bearing_rad
    return place[:2] + seen.distance_m * np.array([math.cos(yaw), math.sin(yaw)])


def _seen_from(place: NDArray[np.float64], twin: SeenObject, at: NDArray[np.float64]
               ) -> SeenObject:
    """A twin as it should be seen from a place, but for its box."""
    ahead, left = rotate(float(at[0] - place[0]), float(at[1] - place[1]),
                         -float(place[2]))
    return replace(twin, bearing_rad=math.atan2(left, ahead),
                   distance_m=max(math.hypot(ahead, left), 0.05))

