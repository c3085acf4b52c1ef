"""What to ask where words can mean several of the objects in view, and what an answer means.

    'go to the red box'     Which red box: the left one or the right one?
    'go to the box'         Which box: the red or the blue one?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.questions import Option, Question
from vla_humanoid_control.language.references import read_answer
from vla_humanoid_control.language.relations import (
    NEARER,
    Reference,
    in_order,
    narrowed,
)
from vla_humanoid_control.language.words import words_of
from vla_humanoid_control.perception.seen import SeenObject
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

_ORDINALS = ('first', 'second', 'third', 'fourth', 'fifth')


@dataclass(frozen=True)
class SightQuestion(Question):
    """Asks which of the objects in view a step is about.

    An answer may be any words that say which one, those of the options among them. Whether they
    leave one is seen when the step begins anew.

    Attributes:
        step: What is to be done with it.
        reference: What was said of it so far.
    """

    step: Step
    reference: Reference

    def answer(self, text: str) -> Option | None:
        """The step with what an answer says of its object; None where it says something else."""
        said = read_answer(words_of(text))
        both = None if said is None else narrowed(self.reference, said)
        if said is None or both is None:
            return None
        return Option(str(said), (), (about(self.step, both),))


def about(step: Step, reference: Reference) -> Step:
    """A step, with its object as a reference says."""
    return replace(step, key=step.key.partition(':')[0], reference=reference)


def question_which(step: Step, reference: Reference, some: Sequence[SeenObject]
                   ) -> SightQuestion:
    """What to ask about several objects in view.

    Args:
        step: What is to be done with one of them.
        reference: What was said of it.
        some: The objects that it can mean; where there are none, one in any colour or shape that
            was not said is asked for.
    """
    words = told_apart(some) if some else COLOURS if not reference.colour else SHAPES
    name = reference.name.removesuffix(' object') + ' one' if not reference.shape else \
        reference.name
    name = 'one' if not (reference.shape or reference.colour) else name
    options = tuple(Option(word, (), ()) for word in words)
    return SightQuestion(f'Which {name}', options, step, reference)


def told_apart(some: Sequence[SeenObject]) -> tuple[str, ...]:
    """Words that tell objects from each other: colours, shapes, or where they are."""
    count = len(some)
    for names, known in (([s.colour for s in some], COLOURS), ([s.shape for s in some], SHAPES)):
        if len(set(names)) == count:
            return tuple(sorted(names, key=known.index))
    if count == 2 and some[0].on_table is not some[1].on_table:
        return 'the one on the table', 'the one on the floor'
    if in_order(some) is not None:
        return {2: ('the left one', 'the right one'),
                3: ('the left one', 'the middle one', 'the right one')}.get(
                    count, tuple(f'the {word} one from the left' for word in _ORDINALS[:count]))
    near, far = min(s.distance_m for s in some), max(s.distance_m for s in some)
    if count == 2 and far > NEARER * near:
        return 'the near one', 'the far one'
    return 'the nearest one', 'another one'
