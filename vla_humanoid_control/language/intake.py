"""Where words come in: what is no command is refused, a stop is known, a retry is reworded."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from vla_humanoid_control.language.spelling import Speller

MAX_CHARACTERS = 500

# Unicode categories: control, format (such as bidirectional overrides), surrogate, separators of
# lines and paragraphs, private use, unassigned.
_REFUSED_CATEGORIES = frozenset({'Cc', 'Cf', 'Cs', 'Zl', 'Zp', 'Co', 'Cn'})


@dataclass(frozen=True)
class Instruction:
    """A command that was accepted.

    Attributes:
        text: The words, with single spaces.
        is_stop: Whether the whole utterance means: stop at once.
    """

    text: str
    is_stop: bool


@dataclass(frozen=True)
class Rejection:
    """A command that was refused, and why."""

    reason: str


def parse_command(text: str | bytes) -> Instruction | Rejection:
    """Check what a person or another program sent.

    Args:
        text: The command; bytes must be UTF-8.

    Returns:
        The instruction, or the reason why nothing of it takes effect.
    """
    if len(text) > MAX_CHARACTERS * (4 if isinstance(text, bytes) else 1):
        return Rejection(f'the command has more than {MAX_CHARACTERS} characters')
    if isinstance(text, bytes):
        try:
            text = text.decode('utf-8')
        except UnicodeDecodeError:
            return Rejection('the command is not valid UTF-8')
    # What ROS puts in the place of bytes that are no UTF-8.
    if '\N{REPLACEMENT CHARACTER}' in text:
        return Rejection('the command is not valid UTF-8')
    text = text.strip()
    if not text:
        return Rejection('the command is empty')
    if any(unicodedata.category(c) in _REFUSED_CATEGORIES for c in text):
        return Rejection('the command holds control characters')
    # Compatibility forms, such as full-width letters, become the plain ones.
    text = ' '.join(unicodedata.normalize('NFKC', text).replace('\N{RIGHT SINGLE QUOTATION MARK}',
                                                                "'").split())
    if len(text) > MAX_CHARACTERS:
        return Rejection(f'the command has more than {MAX_CHARACTERS} characters')
    if not any(c.isalpha() for c in text):
        return Rejection('the command holds no word')
    return Instruction(text, is_stop(text))


# --- stop words -----------------------------------------------------------------------------

_GERUND = (r'(?:moving|walking|turning|going|running|waving|looking|reaching|spinning|rotating|'
           r'stepping|driving|doing (?:that|this|it|everything|anything|'
           r'what(?:ever)? you(?: are|\'re) doing))')
_HEADING = (r'(?: (?:any ?more|any further|forwards?|backwards?|back|ahead|left|right|around|'
            r'sideways|altogether|completely|entirely))*')
_MOTION = (r'(?:all |any |every |your |the )*(?:movements?|motions?|moving|activity|actions?|'
           r'robot|task|everything)')
_PLACE = (r'(?:it|that|this|there|here|dead|still|put|in place|in position|in your tracks|'
          r'on the spot|in your place|your position|position|where you are|exactly where you are|'
          r'motionless|right (?:there|here|where you are)|yourself|everything|'
          r'what(?:ever)? you(?: are|\'re) doing)')
_CORE = '|'.join((
    rf'(?:stop|halt|freeze|cease|quit|pause|end|abort|cancel)(?: {_GERUND}{_HEADING}| {_MOTION}'
    rf'|(?: {_PLACE})+)',
    r'(?:make (?:a|an) )?(?:(?:emergency|full|immediate|complete|quick|e-?) ?)*stop|'
    r'halt|freeze|cease|quit|pause|abort|cancel|whoa|woah|wait|enough|standstill|be a statue|'
    r'that\'?s far enough|that is far enough',
    r'(?:come|get|slow down|slow|bring yourself|bring it) to (?:a|an) '
    r'(?:complete |full |dead |immediate |total )*(?:stop|halt|standstill|rest)',
    r'(?:bring|put) (?:yourself|the robot|it|your body) to (?:a|an) (?:complete |full |dead )?'
    r'(?:stop|halt|standstill|rest)',
    r'(?:bring|put|make) (?:an end|a stop|a halt) to (?:it|that|this|(?:your |the |all |any )+'
    r'(?:motions?|movements?))|(?:everything|everybody|everyone|all) stop',
    rf'(?:hold|stand|stay|keep|remain|be|wait)(?: completely| perfectly| absolutely| very)?'
    rf'(?: {_PLACE})+|hold on|hang on|no more moving',
    r'(?:do not|don\'?t|never|you (?:must|may) not) (?:move|budge|stir|take another step|walk|go|'
    r'continue|keep (?:going|moving|walking|turning))(?: an? (?:inch|muscle|bit)| any ?(?:more|'
    r'further|farther|longer)| at all| another (?:inch|step|muscle))*',
    r'(?:that\'?s|that is|that will be|that\'ll be) (?:quite )?enough|that will do|no more'
    r'(?: (?:moving|movement|motion|walking))?|no further|not another step|stand down|'
    r'hit the brakes|slam on the brakes|stop and (?:stay|stand|hold|wait|remain)'
    rf'(?: {_PLACE})*|knock it off|cut it out',
))
_LEAD = (r'(?:careful|danger|watch out|look out|attention|caution|warning|oi|oy|hi|hello|'
         r'listen(?: up)?|excuse me|sorry|um+|uh+|er+m?|oh|so|well|stop it|'
         r'for (?:god|heaven)\'s sake|'
         r'how about you|why do not you|why don\'t you|be so kind(?: and| as to)?|'
         r'(?:it would be|it\'d be) (?:nice|good|great) if you could|'
         r'i(?: would|\'d) (?:appreciate|like) it if you(?: could| would)?|'
         r'(?:my )?(?:friend|buddy|mate|dear|pal)|please|now|robot|humanoid|hey|'
         r'ok|okay|no|just|quick(?:ly)?|immediately|you|hey you|and|now then|right|'
         r'(?:can|could|would|will) you|would you mind|'
         r'you (?:must|can|should|need to|have to)|kindly|at once|everybody|completely|'
         r'(?:i want|i need|i would like|i\'d like) you to|go ahead and|let me see you|'
         r'(?:your|the) (?:next )?(?:job|task|order|mission) is to|'
         r'would you mind and|i said|i say)')
_TAIL = (r'(?:if you (?:do not|don\'t) mind|if you (?:can|could|would|please)|'
         r'(?:my )?(?:friend|buddy|mate|dear|pal)|before (?:something|anything) happens|please|'
         r'now|right (?:now|away|there|here)|immediately|at once|'
         r'this (?:instant|moment|second|minute)|straight ?away|robot|humanoid|instantly|'
         r'there|here|already|for me|'
         r'for now|(?:for )?an? (?:moment|second|minute|bit|while)|completely|quickly|'
         r'at this point|would you|will you|ok|okay|thanks|thank you|'
         r'in place|where you are|as you are|and (?:wait|stay|stand|hold)(?: (?:still|there|here|'
         r'put|in place|where you are))?|this very (?:instant|moment|second)|without delay|asap|'
         r'as (?:soon|fast|quickly) as (?:possible|you can))')
_PIECES = {name: re.compile(pattern) for name, pattern in
           (('lead', _LEAD), ('core', _CORE), ('tail', _TAIL))}
_MAX_STOP_WORDS = 20
_MAX_PIECE_WORDS = 9


def is_stop(text: str) -> bool:
    """Whether the whole utterance is an order to stop.

    'please stop right now' is; 'stop at the red box', "don't stop" and 'walk to the bus stop'
    are not. A stop is one or more of: leads ('please'), a core ('stop moving'), tails ('now').
    """
    spoken = [_SPELLER.meant(w) for w in re.sub(r"[^\w' -]", ' ', text.casefold()).split()]
    words = [w for i, w in enumerate(spoken) if i == 0 or w != spoken[i - 1]]
    if len(words) > _MAX_STOP_WORDS:
        return False
    # Which words can be reached, and what came last: one pass over the words, because a single
    # pattern for all of this would take exponential time on hostile text.
    reached: list[set[str]] = [set() for _ in range(len(words) + 1)]
    reached[0].add('begin')
    for begin in range(len(words)):
        for end in range(begin + 1, min(begin + _MAX_PIECE_WORDS, len(words)) + 1):
            piece = ' '.join(words[begin:end])
            for last in tuple(reached[begin]):
                for name in _FOLLOWS[last]:
                    if name not in reached[end] and _PIECES[name].fullmatch(piece):
                        reached[end].add(name)
    return bool(reached[-1] & {'core', 'tail'})


# Words in which a slip of the finger is forgiven, and words that are no such slip.
_STOP_WORDS = ('stop', 'halt', 'freeze', 'cease', 'quit', 'pause', 'wait', 'hold', 'stand', 'stay',
               'keep', 'still', 'there', 'here', 'movement', 'moment', 'move', 'moving', 'motion',
               'walking', 'turning', 'please', 'immediately', 'right')
_OTHER_WORDS = frozenset((
    'step', 'top', 'hop', 'shop', 'sit', 'bold', 'half', 'want', 'way', 'say', 'hand', 'sand',
    'love', 'where', 'light', 'night', 'were', 'talking', 'hear', 'hare', 'her', 'these', 'three',
    'more', 'shut', 'salt', 'cold', 'told', 'gold', 'quite', 'stow', 'stomp', 'stab', 'sway',
    'chase', 'waft'))
# 'top' and 'hop' are no stop: the first letter is right. Where two words are as near, the first.
_SPELLER = Speller(_OTHER_WORDS, {word: -place for place, word in enumerate(_STOP_WORDS)},
                   begins_right=True)

_FOLLOWS = {'begin': ('lead', 'core'), 'lead': ('lead', 'core'),
            'core': ('core', 'tail', 'lead'), 'tail': ('core', 'tail', 'lead')}


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


def reword(instruction: Instruction, attempt: int) -> str:
    """The words to give the policy on a retry: the same meaning, said otherwise.

    Args:
        instruction: What the person said.
        attempt: 0 is the person's own wording, 1 the plain imperative, 2 and more say that again
            with other words. The same attempt always gives the same words, and of the first
            four attempts no two give the same.
    """
    if attempt <= 0:
        return instruction.text
    plain = _plain(instruction.text)
    again = next(([other + f'{plain} '[len(start):] for other in others]
                  for start, others in _AGAIN if f'{plain} '.startswith(start)), [])
    wordings = [plain, *(w.strip() for w in again), f'please {plain}', f'now {plain}',
                f'{plain} please']
    said = ' '.join(instruction.text.casefold().split())
    fresh = [w for w in wordings if w != said]
    return fresh[(attempt - 1) % len(fresh)]


def _plain(text: str) -> str:
    words = ' '.join(re.sub(r"[^\w' -]", ' ', text.casefold()).split())
    for pattern, plain in _PLAINER:
        words = ' '.join(pattern.sub(plain, words).split())
    return words or text
