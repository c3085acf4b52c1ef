"""Where words come in: what is no command is refused, a stop is known, a retry is reworded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vla_humanoid_control.language.plan import Step
from vla_humanoid_control.language.questions import Question
from vla_humanoid_control.language.reader import read
from vla_humanoid_control.language.spoken import UNSEEN, visible
from vla_humanoid_control.language.stop_words import is_stop

MAX_CHARACTERS = 500


@dataclass(frozen=True)
class Instruction:
    """A command that was accepted.

    Attributes:
        text: The words, with single spaces.
        is_stop: Whether the whole utterance means: stop at once.
        unclear: Why it must not be acted on, such as a negation; empty where it may be. A stop is
            never unclear.
        steps: What it asks for, one after the other; empty where it is a stop or unclear.
        unplaced: Words that say something and have no place in any task that is known here; see
            `reader.Reading`.
        question: What to ask before anything is done; None where there is nothing to ask.
        begin: Which of the steps to begin with, from 0 on: those before it are done already, where
            this answers a question about it.
        is_planned: Whether the steps are a planner's; see `planned`.
    """

    text: str
    is_stop: bool
    unclear: str = ''
    steps: tuple[Step, ...] = ()
    unplaced: tuple[str, ...] = ()
    question: Question | None = None
    begin: int = 0
    is_planned: bool = False


@dataclass(frozen=True)
class Rejection:
    """A command that was refused, and why."""

    reason: str


Reader = Callable[[str | bytes, Sequence[Step], bool], 'Instruction | Rejection']
"""What becomes of a text, with the arguments of `parse_command`, which is one."""


def parse_command(text: str | bytes, before: Sequence[Step] = (), sees: bool = False
                  ) -> Instruction | Rejection:
    """Check and read what a person or another program sent.

    Args:
        text: The command; bytes must be UTF-8.
        before: The steps of the command before, to which 'again' and 'the blue one' refer.
        sees: Whether whoever acts on it can look which object is meant; see `reader.read`.

    Returns:
        The instruction, or the reason why nothing of it takes effect.
    """
    checked = check_command(text)
    if isinstance(checked, Rejection) or checked.is_stop:
        return checked
    reading = read(checked.text, before, sees)
    return replace(checked, unclear=reading.problem, steps=reading.steps,
                   unplaced=reading.unplaced, question=reading.question)


def check_command(text: str | bytes) -> Instruction | Rejection:
    """Check what a person or another program sent, without reading what it asks for.

    An order to stop is heeded whatever else comes with it: characters that nobody sees, bytes that
    are no UTF-8, one word too many times.

    Args:
        text: The command; bytes must be UTF-8.

    Returns:
        The instruction, or the reason why nothing of it takes effect.
    """
    too_long = Rejection(f'the command has more than {MAX_CHARACTERS} characters')
    if len(text) > 4 * MAX_CHARACTERS:
        return too_long
    if isinstance(text, bytes):
        text = text.decode('utf-8', errors='replace')
    if is_stop(text):
        return Instruction(visible(text, ' ')[:MAX_CHARACTERS], is_stop=True)
    if len(text) > MAX_CHARACTERS:
        return too_long
    # What ROS, too, puts in the place of bytes that are no UTF-8.
    if '\N{REPLACEMENT CHARACTER}' in text:
        return Rejection('the command is not valid UTF-8')
    text = text.strip()
    if not text:
        return Rejection('the command is empty')
    if any(unicodedata.category(c) in UNSEEN for c in text):
        return Rejection('the command holds control characters')
    # Compatibility forms, such as full-width letters, become the plain ones.
    text = ' '.join(unicodedata.normalize('NFKC', text).replace('\N{RIGHT SINGLE QUOTATION MARK}',
                                                                "'").split())
    if len(text) > MAX_CHARACTERS:
        return too_long
    if not any(c.isalpha() for c in text):
        return Rejection('the command holds no word')
    return Instruction(text, is_stop=False)


# --- rewording ------------------------------------------------------------------------------

# Applied in order to lower-case words; every rule keeps the meaning and moves to plainer words.
_PLAINER = tuple((re.compile(rf'\b(?:{pattern})\b'), plain) for pattern, plain in (
    (r"would you mind(?: and)?|(?:can|could|would|will) you|i (?:want|need|would like) you to|"
     r"i'd like you to|please|kindly|robot|hey|hello|okay|ok|now|just|"
     r"you (?:should|must|need to)|for me|try to|go ahead and|if you (?:can|would|could)|"
     r"thank you|thanks", ' '),
    (r'crimson|scarlet|ruby|cherry|maroon|vermilion', 'red'),
    (r'emerald|lime|jade|olive', 'green'),
    (r'azure|navy|cobalt|sapphire|cerulean', 'blue'),
    (r'golden|gold|amber|lemon|mustard', 'yellow'),
    (r'crate|cube|block|carton|parcel', 'box'),
    (r'sphere|orb|globe', 'ball'),
    (r'mug|tumbler|beaker|goblet', 'cup'),
    (r'traffic cone|pylon|funnel', 'cone'),
    (r'colou?red', ' '),
    (r'(box|ball|cup|cone)(?: which is| that is| the)? (red|green|blue|yellow)(?: one)?',
     r'\2 \1'),
    (r'(?:walk|head|move|proceed|travel|navigate|make your way|get|come|drive|stroll|march|step|'
     r'advance|wander|go)(?: yourself)?(?: over| up| across)? (?:to|towards?)'
     r'(?= (?:the|a|an|that) )',
     'go to'),
    (r'approach', 'go to'),
    (r'touch|(?:extend|stretch|put|place|bring|move) (?:out )?(?:your|a|one) (?:hand|arm) '
     r'(?:out )?(?:to|on|onto|towards?)|reach(?: out)? (?:for|to|towards?)', 'reach for'),
    (r'spin|rotate|pivot|swivel', 'turn'),
    (r'gaze|glance|peer', 'look'),
    (r'lift|hoist|put up|hold up', 'raise'),
    (r'(left|right) arm', r'\1 hand'),
    (r'to (?:the|your) (left|right)', r'\1'),
    (r'forwards|ahead', 'forward'),
    (r'backwards', 'backward'),
    (r'upwards?', 'up'),
    (r'downwards?', 'down'),
))

# Ways to say a plain imperative again: where its beginning matches, the beginning is exchanged.
_AGAIN = (('go to ', ('walk to ', 'move towards ')),
          ('reach for ', ('touch ', 'put your hand on ')),
          ('turn ', ('rotate ', 'spin ')),
          ('look ', ('turn your head ', 'gaze ')),
          ('raise ', ('lift ', 'hold up ')),
          ('wave ', ('give a wave ', 'wave hello ')),
          ('move ', ('walk ', 'step ')),
          ('walk ', ('move ', 'step ')))


def reword(instruction: Instruction, attempt: int,
           unreadable: Callable[[str], str] = lambda text: '') -> str:
    """The words to give the policy on a retry: the same meaning, said otherwise.

    Args:
        instruction: What the person said.
        attempt: 0 is the person's own wording, 1 the plain imperative, 2 and more say that again
            with other words. The same attempt always gives the same words, and of the first
            four attempts no two give the same, where the policy can read them.
        unreadable: Why the policy cannot read a text, empty where it can.
    """
    # Plainer words would lose what makes it unclear: 'do not' is none of them.
    if attempt <= 0 or instruction.unclear:
        return instruction.text
    plain = _plain(instruction.text)
    again = next(([other + f'{plain} '[len(start):] for other in others]
                  for start, others in _AGAIN if f'{plain} '.startswith(start)), [])
    wordings = [plain, *(w.strip() for w in again), f'please {plain}', f'now {plain}',
                f'{plain} please']
    said = ' '.join(instruction.text.casefold().split())
    fresh = [w for w in wordings if w != said and not unreadable(w)]
    return fresh[(attempt - 1) % len(fresh)] if fresh else instruction.text


def _plain(text: str) -> str:
    words = ' '.join(re.sub(r"[^\w' -]", ' ', text.casefold()).split())
    for pattern, plain in _PLAINER:
        words = ' '.join(pattern.sub(plain, words).split())
    return words or text
