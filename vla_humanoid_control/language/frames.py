"""What is said around a request: 'could you', 'robot', 'thanks', 'and after that'."""

from __future__ import annotations

from typing import Literal

from vla_humanoid_control.language.words import plain_words
from vla_humanoid_control.tasks.phrasings import templates

_SPLITS: tuple[Literal['train', 'val'], ...] = ('train', 'val')
# Beside the frames of training.
_MORE_LEADS = (
    'show us how you', 'let us see you', 'keep facing this way and', 'keep facing this way but',
    'stay facing this way and', 'stay facing this way but', 'keep your heading and',
    'do not turn just', 'do not turn but', 'without turning just',
    'be a sport and', 'be so good as to', 'if i may ask', 'may i ask you',
    'it would be great if you could', 'it would be nice if you could',
    'it would help if you could',
    'go on and', 'and finally', 'and lastly', 'and then', 'and after that', 'and afterwards',
    'then finally', 'afterwards', 'subsequently', 'and also', 'as a next step', 'as the next step',
    'in the end', 'last', 'at last', 'third', 'thirdly', 'secondly', 'firstly', 'first of all',
    *(f'step {n}' for n in ('one', 'two', 'three', 'four', 'five', 'six', *range(1, 9))), 'fourth',
    'fourthly', 'fifth', 'sixth', 'seventh', 'eighth', 'follow it up with', 'follow that up with',
    'follow it with', 'follow that with', 'follow up with', 'go on with', 'continue with',
    'once you have got there', 'once you have arrived', 'once that is done', 'when that is done',
    'that done', 'once you have done that', 'when you have done that', 'when you are done',
    'once done',
    'once you are done', 'when done', 'from there', 'there', 'thereafter', 'after this',
    'when you are there', 'once you are there', 'once there', 'when you get there',
    'once you get there', 'when you arrive', 'once you arrive', 'when you have arrived',
    'once you reach it', 'when you reach it', 'upon arrival', 'on arrival', 'when finished',
    'once finished', 'do these things', 'do the following', 'do the following things',
    'immediately after', 'right after', 'right after that', 'at the end', 'to finish',
    'to end with')
_MORE_TAILS = ('in a row', 'one after the other', 'as soon as you are done', 'once you are done',
               'when you are done', 'once you are there', 'when you are there',
               'when you reach it', 'once you reach it', 'when you get there',
               'once you get there', 'upon arrival', 'on arrival',
               'once that is done',
               'first', 'afterwards', 'after that', 'at the end', 'in the end', 'finally', 'too',
               'as well', 'next', 'then', 'and that is it', 'and that is all', 'and you are done',
               'for a start', 'to begin with', 'to start with', 'to finish', 'last')

ARRIVING = tuple(w for w in (*_MORE_LEADS, *_MORE_TAILS) if 'arriv' in w or 'reach it' in w
                 or (w.endswith('there') and ('you' in w or 'once' in w)))
"""Of these, what says that something is to be done at the end of a way."""


def frames() -> tuple[frozenset[tuple[str, ...]], frozenset[tuple[str, ...]]]:
    """What is said before and after a request."""
    frames = [f.split('{}') for split in _SPLITS for f in templates(split)['frames']]
    before = [f[0] for f in frames] + list(_MORE_LEADS)
    after = [f[1] for f in frames] + list(_MORE_TAILS)
    return (frozenset(w for t in before if (w := plain_words(t))),
            frozenset(w for t in after if (w := plain_words(t))))
