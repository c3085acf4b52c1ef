"""Negation and condition: what keeps an instruction from being acted on.

A policy that learnt imperatives walks forward when it hears 'do not walk forward', and goes at
once when it hears 'go when I whistle'. Until it understands such words, an instruction that holds
one is not acted on, except where the word is politeness ('if you please'), manner ('without
turning') or the goal itself ('turn until you face left').
"""

from __future__ import annotations

import re

from vla_humanoid_control.language.spelling import Speller
from vla_humanoid_control.language.spoken import readings

ASK = 'I only do what I am asked to do now, without negation or condition: say what to do'

# In all patterns the words are those of `spoken`: lower case, 'do not' for "don't", ',' for a
# pause.
_WHO = (r'(?:i|you|he|she|it|we|they|people|every(?:one|body)|some(?:one|body)|'
        r'any(?:one|body))')
_THIS = r'(?:the|a|an|my|your|his|her|its|our|their|this|that|these|those|all|any)'
_STOP = (r'(?:stop|quit|cease|halt|end|finish|discontinue|pause|suspend|abort|cancel|interrupt|'
         r'resist|leave off|give up|call off|knock off|lay off|break off)')
_SOON = r'(?:moment|minute|second|instant)'

_NEGATION = re.compile(r'\b(?:' + '|'.join((
    r'not|dont|cant|wont|doesnt|didnt|shouldnt|never|no|none|nor|neither|nobody|noone|nothing|'
    r'nowhere|nope|nah|nix|non|nein|nicht|zero(?! in\b)',
    r'without|unable|instead|except(?:ing)?|excluding|unlike|hardly|scarcely|rarely|seldom',
    r'(?:other|rather|sooner) than|would rather|as opposed to|opposite of|in (?:place|lieu) of|'
    r'apart from|aside from|save for|let alone|much less|free of',
    r'avoid(?:ing)?|refrain(?:ing)?|abstain|forbear|forgo|shun|withhold|desist|forbid(?:den)?|'
    r'prohibit(?:ed)?|ban(?:ned)?|refus(?:e|ing)|declin(?:e|ing)|ignor(?:e|ing)|disregard|omit|'
    r'leave out|dispense with|hold (?:off|back)|(?:forget|omit|neglect|cease|resist|fail) to',
    r'(?:any\w*|every\w*|all|no\w*)(?: \w+)? but', r'leave (?:\w+ )+alone',
    r'(?:stay|keep|steer|get|shy|hold) (?:well )?(?:away from|clear of|off)|'
    r'(?:stay|keep) out of|stop(?:ping)? short',
    rf'(?:forget|skip|cancel|abandon|scrap)(?: about)? (?:{_THIS}|\w+ing)',
    r'pretend(?:ing)?|imagin(?:e|ing)|(?:wrong|foolish|mistake|idea) (?:of you )?to',
    # 'stop walking to the box' is no plain stop, and is no walk to the box.
    rf'{_STOP} (?:\w+ing|{_THIS} \w+)|(?:keep|stop|prevent|hold)(?: \w+)? from \w+ing')) + r')\b')

_CONDITION = re.compile(r'\b(?:' + '|'.join((
    r'if|unless|when|whenever|whether|until|till|til|while|whilst|lest|after|afterwards',
    r'provided|providing|suppose|supposing|assuming|presuming|given that|depending|otherwise|'
    r'or else|in case|in the event|on condition|subject to',
    r'(?:as|so) (?:soon|long) as|(?:every|each|next|any|the first|the last) time|by the time',
    rf'(?:before|once|the {_SOON}|directly|immediately) (?:{_WHO}|{_THIS}|there|done|finished|'
    r'\w+ing)',
    r'(?:on|at|upon) (?:my|the|a|his|her|this|that) (?:signal(?! red)|command|mark|word|count|'
    r'cue|beep|'
    r'order|whistle|sign)|(?:up)?on (?:hearing|seeing|receiving)',
    rf'in (?:about )?(?:a|an|one|two|three|four|five|six|seven|eight|nine|ten|twenty|thirty|\d+|'
    rf'some|a few) (?:more )?(?:{_SOON}|hour|while|sec|min)s?',
    r'later|tomorrow|tonight|at (?:noon|midnight|\w+ o ?clock)')) + r')\b'
    rf'|(?:^|(?<=, ))(?:should|were|had) (?:{_WHO}|{_THIS}|there)\b')

# What sounds like one of these and is none. Each takes in all of the words that it answers for.
_END = (r'(?= ,| and\b| so\b| please\b| thanks\b| thank you\b| robot\b| for (?:me|us)\b|'
        r' (?:my )?friend\b| buddy\b| mate\b| pal\b| (?:could|can|will|would) you\b|$)')
_TIME = r'(?:(?:a|the|some|one|your) )?(?:free |spare )?(?:moment|minute|second|chance|time)'
_TURN = (r'(?:turn|rotate|walk|bend|move)(?: your (?:body|feet|legs))?(?: immediately)?')
_TURNING = (r'(?:turning|rotating|walking|stopping|taking a step|a step|'
            r'(?:grasping|taking|moving|lifting) it|changing your heading|leaving your place|'
            r'moving)(?: your (?!left|right)\w+)?')
_WAY = r'(?:(?:left|right|for|back)(?:wards?)?|ahead|back|sideways|side|straight(?! away))'
_WHERE = (r'(?:to|towards?|into|onto|over|in|on|at(?! once)|by|around|round|up|down|the|a|an|any|'
          rf'your|my|that|this|it|{_WAY})')
_POLITE = (
    r'if (?:you )?please\b', rf'if you (?:can|could|would|will|like|want|wish|may){_END}',
    r'if you do not (?:mind|mid)\b', r'if you (?:can|could|would) (?:please|kindly)\b',
    r'if (?:it is )?(?:at all )?(?:possible|convenient)\b', r'if i may(?: ask)?\b',
    r'if (?:it|that) (?:is|would be) (?:not too much trouble|(?:okay|ok|alright|all right|fine|no '
    r'trouble)(?: (?:with|for|by) you)?)\b', rf'if you (?:have|find|get) {_TIME}\b',
    r'(?:i would be (?:glad|happy|grateful)|i wonder|it would be (?:nice|great|good|lovely|kind)|'
    r'i (?:would )?appreciate it|i would (?:like|love) it) if you (?:could|would|can)\b',
    r'(?:see|try|check) (?:if|whether) you can(?: how)?(?: to)?\b',
    rf'when(?:ever)? you (?:are ready|(?:have|get|find) {_TIME})\b',
    rf'when(?:ever)? (?:you (?:like|want|can|please|wish)|convenient){_END}',
    rf'as soon as (?:possible|you (?:can|could|are able)){_END}', r'why do not (?:you|we)\b',
    r'do not (?:(?:forget|hesitate) to|be (?:shy|afraid))\b', r'never mind me\b',
    r'no (?:problem|worries|hurry|rush|doubt|offence|time to lose)\b',
    r'no need to (?:pick|grab|lift|grasp|take|hurry|rush)(?: it(?: up)?)?\b',
    r'today , not tomorrow\b', r'i ca not reach you\b', r'(?:^|(?<=, ))after that\b(?= ,)')
_MANNER = (
    rf'without (?:delay|{_TURNING})(?! {_WHERE}\b)',
    r'without stopping (?:up |over )?(?:to|towards?)\b',
    rf'do not {_TURN} ?,? (?:but|just|and move your)\b',
    rf'{_WAY} (?:but|and) do not {_TURN}{_END}',
    r'(?:but|and) do not (?:lift|grab|grasp|take|pick|hold|move) it\b', r'but not your body\b',
    r'not (?:here|there|to me|walking|so (?:close|near|far)) ,', r'not (?:only|just) (?:the|'
    r'your) head\b',
    r'while i watch\b', r'(?<=a )while\b', r'(?<=little )while\b',
    r'while (?:(?:you keep )?(?:facing|looking at)|you stand still)\b', r'when seen from\b',
    r'and nothing else\b',
    r'forget (?:the rest|me not)\b')
_GOAL = (
    r'(?:until|till|til) you (?:are (?:facing|at|next to|near|beside|by|in front of|close to|'
    r'there)|face|look|reach|arrive at|get to|come to|stand)\b',
    r'(?:until|till|til) (?:it|(?:the|your) (?:hand|finger|palm|arm)s?) '
    r'(?:is (?:at|on)|reaches|touches|meets)\b', r'(?:until|till|til) i (?:say stop|'
    r'see your back)\b',
    r'as if\b', rf'before (?:you(?= as\b|{_END[3:]}|we go{_END}|crossing\b)', r'as before\b',
    r'one foot before the other\b')
# 'Stand before the red box' is a place, 'wave before the lights go out' is a condition.
_CLAUSE = (r'(?:(?:go|start|stop|end|ring|turn|leave|arrive|fall|begin|say|open|beep|whistle|'
           r'blink|'
           r'move|drop|roll|sound|change|appear|come|close|hit|count)e?s?|finish(?:es)?|has|have|'
           r'is|'
           r'are|was|were|went|came|rang|gets?)')


_NOUN = rf'(?:the|a|that|this)\b(?! (?:(?!that|which|whose)\w+ ){{1,7}}?{_CLAUSE}\b)'
_PLACE = (rf'(?:stand|stop|wait|stay|park|rest|up|appear|halt|be|place|position|'
          rf'yourself) before {_NOUN}',
          rf'(?:go|walk|run|head|come) after {_NOUN}')
_HARMLESS = re.compile(rf'\b(?:{"|".join((*_POLITE, *_MANNER, *_GOAL, *_PLACE))})')

# Words in which a slip of the finger is forgiven, the likelier first, and words that are no slip.
_SLIPS = ('not', 'never', 'without', 'dont', 'cannot', 'doesnt', 'unless', 'until', 'where',
          'wheel', 'wine', 'when',
          'whenever', 'before', 'after', 'while', 'instead', 'except', 'avoid', 'nothing',
          'nobody',
          'neither', 'rather', 'refrain', 'provided', 'tomorrow', 'down', 'nearer', 'mind', 'time',
          'your', 'turn', 'walk', 'have', 'head', 'come', 'much', 'like', 'next', 'glad', 'else',
          'pick')
_OTHER_WORDS = frozenset((
    'net', 'nut', 'nit', 'nod', 'nor', 'now', 'note', 'done', 'dot', 'don', 'dent', 'dint',
    'donut',
    'dolt', 'newer', 'whey', 'wren', 'wend', 'untie', 'alter', 'aster', 'avid', 'excerpt',
    'noting', 'nether', 'cannon', 'white', 'whale', 'whine', 'whole', 'cone', 'hand', 'lime'))
_WORDS = re.compile(r'(?<![\\a-z])[a-z]{3,}(?!\(\?:)')
_SAID = frozenset(w for p in (_NEGATION, _CONDITION, _HARMLESS) for w in _WORDS.findall(p.pattern))
_LONG = sorted(w for w in set(_WORDS.findall(_HARMLESS.pattern)) if len(w) > 4)
_SPELLER = Speller(_OTHER_WORDS | _SAID, {word: -place for place, word in enumerate(
    dict.fromkeys((*_SLIPS, *_LONG)))}, begins_right=True)


def why_unclear(text: str) -> str:
    """Why an instruction that is no stop must not be acted on; empty where it may."""
    for said in readings(text):
        rest = _SPELLER.correct(said)
        if not (_NEGATION.search(rest) or _CONDITION.search(rest)):
            continue  # most commands: what sounds like one need not be looked for
        rest = _HARMLESS.sub('~', rest)
        for name, pattern in (('negation', _NEGATION), ('condition', _CONDITION)):
            if found := pattern.search(rest):
                return f'{found[0]!r} is a {name}; {ASK}'
    return ''
