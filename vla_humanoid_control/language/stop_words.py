"""Orders to stop, known without any policy.

A stop is one or more of: leads ('please', 'I want you to'), a core ('stop moving'), tails ('right
now'). What begins with a stop and goes on to something else ('stop at the red box') is none.
"""

from __future__ import annotations

import re

from vla_humanoid_control.language.spelling import Speller
from vla_humanoid_control.language.spoken import readings

# In all patterns the words are those of `spoken`, without pauses: lower case, 'do not' for
# "don't", 'that is' for "that's", 'e stop' for 'E-Stop'.


def _any(*patterns: str) -> str:
    return '(?:' + '|'.join(patterns) + ')'


# --- parts of speech ----------------------------------------------------------------------------

_ADVERB = _any('completely', 'perfectly', 'absolutely', 'totally', 'fully', 'very', 'quite', 'so',
               'dead', 'stock', 'right', 'just', 'exactly', 'precisely', 'altogether', 'entirely',
               'quietly', 'calmly', 'silently', 'peacefully')
_STAND = _any('here', 'there', 'where you (?:are|stand)', 'as you are', 'like that')
_SPOT = (r'(?:in|on|at|to)(?: (?:the|your|this|that|its))?(?: (?:current|present))? '
         r'(?:place|position|spot|tracks|pose|rest|ease)')
_STATUE = (r'(?:a |an )?(?:statue|rock|stone|tree|lamp ?post|pillar|post|monument|mannequin|'
           r'picture|'
           r'wax figure|snowman|block of ice|scarecrow)')
_STILL = _any('still', 'motionless', 'immobile', 'stationary', 'static', 'frozen', 'unmoving',
              'steady', 'calm', 'quiet', 'fixed', 'idle', 'passive', 'inactive', 'inert', 'put',
              'standing(?: still)?', f'like {_STATUE}', f'(?:frozen|glued|rooted) {_SPOT}')
_STATE = rf'(?:(?:{_ADVERB} )*{_any(_STILL, _STAND, _SPOT)})(?: and {_STILL})?'
_DOING = r'what(?:ever)? (?:you (?:are doing|do)|(?:that|this|it) is|is going on)'
_IT = _any('it(?: all)?', 'that', 'this', r'all (?:of )?(?:it|that|this)', 'everything',
           'the whole thing', _DOING)
_DETERMINER = r'(?:(?:the|your|all|any|every|that|this|my|current|present|last|more|further|of) )*'
_MOTION = _DETERMINER + _any('motions?', 'movements?', 'moves?', 'moving', 'actions?', 'activity',
                             'activities', 'walk', 'turn', 'behaviour', 'operation', 'locomotion')
_BODY = _DETERMINER + _any('robot', 'body', 'legs', 'feet', 'arms', 'hands', 'limbs', 'joints',
                           'motors', 'drive', 'engines?', 'hands and feet')
_TASK = _DETERMINER + _any('task', 'order', 'command', 'instruction', 'mission', 'plan', 'program',
                           'execution', r'what i (?:said|told you)')
_WAY = r'(?:on|any ?more|further|forwards?|backwards?|back|ahead|left|right|around|sideways|about)'
_GERUND = (r'(?:moving|walking|turning|going|running|waving|looking|reaching|spinning|rotating|'
           rf'stepping|driving|acting|doing {_any(_IT, "anything")})(?: (?:{_ADVERB}|{_WAY}))*')
_HALT = _any('stop', 'halt', 'standstill', 'rest', 'end', 'pause', 'break', 'breather')
_HOW = r'(?:(?:emergency|full|immediate|complete|total|quick|gentle|dead|short|e) )'
_WHO = _any('yourself', 'the robot', 'it', 'your body', _IT, _MOTION)
_SPAN = (r'(?:for )?(?:now|(?:a|an|one) (?:moment|second|minute|bit|while|sec|tick|little|'
         r'instant)|'
         r'a ?while|a little|(?:two|three|five|ten|\d+) (?:seconds|minutes))')
_UNTIL = _any(r'(?:until|till) i (?:am back|return|say (?:so|go)|(?:tell|call) you)',
              r'(?:until|till) (?:further notice|told otherwise)',
              r'for (?:further notice|my (?:signal|word|next command)|new orders|'
              r'the next command)')
_EXTENT = _any('on', 'at all', 'any ?more', 'any (?:further|farther|longer)', 'further',
'anywhere',
               '(?:an|one|another) (?:inch|muscle|step|bit)',
               'a (?:muscle|finger|foot|thing|step)')

# --- cores --------------------------------------------------------------------------------------

_CORES = (
    # Verbs that say it alone, or of what.
    _any('stop', 'halt', 'freeze', 'cease', 'quit', 'pause', 'abort', 'cancel', 'wait', 'desist',
         'stall', 'stand', 'stay', 'brake', 'rest', 'idle', 'settle', 'park', 'hold', 'finish',
         'relax', 'chill', 'quiesce', 'suspend', 'terminate', 'whoa', 'woah', 'ho', 'basta',
         'enough', 'standstill', 'standby', 'break', 'time ?out', 'cease and desist', 'cut'),
    rf'(?:stop|halt|freeze|cease|quit|pause|end|abort|cancel|suspend|interrupt|terminate|wait|'
    rf'discontinue|break off|leave off|call off|give up|cut short|put an? (?:end|stop|halt) to|'
    rf'bring an end to|make an end to|scrap|drop|abandon) '
    rf'{_any(_GERUND, _MOTION, _BODY, _TASK, _IT, "yourself")}',
    rf'(?:finish|knock off|lay off|refrain from|desist from|cut|leave|undo|scratch) '
    rf'{_any(_GERUND, _MOTION, _IT)}',
    rf'(?:leave|scratch|undo) {_TASK}',
    rf'forget (?:it(?: all)?|everything|(?:the|this|that) (?:task|mission)|that|this|{_DOING})',
    rf'(?:cut|lock|freeze|kill) {_any(_BODY, _MOTION)}', 'hold all joints',
    rf'(?:stop|halt|freeze) {_STATE}', 'stop in the middle of it',
    '(?:stop|halt|freeze) mid step', 'cease to move', 'stop (?:short|dead|cold)',
    # States to be in.
    rf'(?:stand|stay|keep|remain|be|become|hold(?: yourself)?|rest|pause|wait|park|idle|hang|'
    rf'chill|relax|settle)(?: {_STATE})+',
    rf'{_ADVERB}? ?(?:still|motionless|stationary|steady)', r'(?:you )?still',
    r'(?:hold|keep|maintain|stand) (?:the|your|that|this)?(?: (?:current|present))? ?'
    r'(?:position|place|pose|stance|ground|station)',
    rf'(?:keep|hold) {_BODY} (?:{_STATE}|where they are)',
    rf'(?:stop|halt|wait|stay|stand|rest|remain|pause|hold|freeze|hang)(?: on| up)? '
    rf'{_any(_SPAN, _UNTIL, "just there")}',
    rf'(?:be|become|play|turn into|(?:act|stand|stay|freeze) like|pretend to be|'
    rf'imitate) {_STATUE}',
    # Coming to a halt, making one, using the brakes.
    rf'(?:come|get|slow|grind|draw|slow down|(?:bring|put) {_WHO})(?: down)? to '
    rf'(?:(?:a|an) )?{_HOW}*{_HALT}',
    rf'(?:(?:(?:make|do|take|have|perform|trigger) )?an? |(?:perform|'
    rf'trigger) the )?{_HOW}*{_HALT}',
    r'(?:hit|apply|slam on|put on|pull|use|push|squeeze|touch|get on|step on|stamp on|jam on|'
    r'throw on) (?:the|your) (?:emergency )?(?:brakes?|brake pedal|handbrake|stop button)',
    r'(?:full )?brakes?(?: on| now)?', 'anchors', 'drop anchor',
    # Not to move.
    rf'(?:please )?(?:do not|never|not|you (?:must|may|should|shall) not|do not you|nobody|'
    rf'no one) '
    rf'(?:move|budge|stir|twitch|wiggle|walk|go|continue|proceed|carry on|act|do anything|'
    rf'keep (?:going|moving|walking|turning)|lift a foot|do a thing|'
    rf'(?:make|take) (?:a|any|one|another)(?: more)? (?:move|movement|steps?))(?: {_EXTENT})*',
    r'(?:do not|never) take any more steps', r'not (?:a|an|one|another|any)(?: (?:more|single))? '
    r'(?:step|inch)(?: (?:more|further))?', r'not any ?(?:more|further)',
    r'(?:no longer move|(?:move|walk|go|step) no (?:more|further))',
    r'(?:no|zero) (?:(?:more|further) )?(?:movement|motion|moving|steps|action|activity|speed|'
    r'velocity)', r'no more (?:walking|turning|of (?:that|this))', r'no (?:more|further)',
    r'(?:speed|velocity) zero|(?:zero|set) your velocity(?: to zero)?|set speed to zero',
    r'do (?:absolutely )?(?:nothing|zero|no more)(?: (?:more|further|at all))?',
    r'(?:take|make) no (?:action|move|movement|motion)|not move',
    r'(?:go|switch|enter|go into|go to|switch to) (?:idle|standby)',
    # Enough.
    r'(?:(?:that|this|it) (?:is|will be) )?(?:quite |far |close )*enough(?: (?:now|already|'
    r'of (?:this|that)|is enough))?', r'(?:that|this) (?:is|was) (?:it|plenty)|that will do',
    r'you (?:have gone|have walked|went|are) (?:far|close) enough|you have arrived|'
    r'you are (?:there|there now)|(?:job done|we are done)|you have done enough',
    r'(?:this|you) (?:is|are) going too far|you are still moving|why are you still moving|'
    r'i did not tell you to move',
    # Idioms and signs.
    r'(?:whoa|woah|ho|easy|steady)(?: (?:there|now|boy|tiger|on|does it))*', 'not so fast',
    r'pull up|stop over|sit tight|hang (?:tight|loose|on)|hold (?:on|up|fast|your horses)|wait up|'
    r'(?:cool|cut|knock|pack|call|quit|stop|drop|leave|hold) it(?: (?:out|off|in|a day|down|'
    r'at that))?|'
    r'cut that out|cool down|give it a rest|(?:give|rest) your (?:legs|feet)(?: a rest)?|'
    r'take five|'
    r'take it easy|let it (?:be|go)|(?:settle|calm) down|slow down and stop|'
    r'stand (?:down|by|fast|easy|at ease)|never mind and stop',
    r'(?:everything|everybody|everyone|all) stop', r'freeze frame',
    r'red (?:light|card)|stop sign|time is up|end of the walk|time to (?:stop|rest)',
    rf'stop and (?:stay|stand|hold|wait|remain)(?: {_STATE})*',
)

# --- what is said around it ---------------------------------------------------------------------

_NAME = _any('robot', 'humanoid', 'machine', 'robbie', 'max', 'atlas', 'sam', 'marvin', 'r2',
             'friend', 'buddy', 'mate', 'pal', 'dear', 'little one', 'big guy', 'everybody',
             'everyone', 'nobody', 'no one', 'all robots', 'you(?: there)?', 'boy')
_CALL = rf'(?:(?:hey|hi|hello|my|dear|good|little|mr|ok|okay|there) )*{_NAME}'
_SAY = _any('want', 'need', 'ask', 'tell', 'command', 'order', 'would like', 'would love',
            'would ask', 'am (?:asking|telling)')
_LEADS = (
    _CALL, r'hello|hi|hey|hiya|oi|oy|ho|wow|ouch|oops|yikes|uh oh|(?:hello|hi|hey) there',
    r'good (?:morning|afternoon|evening)|how are you|(?:nice|good) to see you|nice weather today|'
    r'what a day',
    r'um+|uh+|er+m?|hmm+|ah|oh|so|well|ok(?:ay|ey)?(?: dokey)?|yes|yeah|no|fine|good|great|'
    r'perfect|'
    r'easy|very good|well done|right|come on|wow',
    r'please|pretty please|kindly|pls|plz|just|simply|only|now|then|and|also|finally|lastly|again|'
    r'next|first|second|once more|after that|to begin with|to start|and now|now then|at once|'
    r'immediately|quick(?:ly)?|fast|asap|chop(?: chop)?|completely|no time to lose',
    r'careful|be careful|danger|watch out|look out|attention|caution|warning|listen(?: up|'
    r' to me)?|'
    r'mind me|excuse me|pardon me|sorry(?: to bother you)?|for (?:god|heaven)s? ?s? sake',
    rf'(?:i|we|they|he) {_SAY}s? (?:you|of you)(?: to)?(?: be)?|(?:i|we) (?:want|need|would like)|'
    rf'let us have(?: you to)?|what i want is that you|i (?:said|say)|i was hoping you would',
    r'you (?:can|could|may|must|should|need to|have to|ought to|get to|have got to|'
    r'are (?:asked|supposed|able) to)|(?:your body|your legs) (?:should|must|ought to)',
    r'(?:can|could|would|will|might) you(?: possibly)?|are you able to|would you mind|'
    r'would you be able to|would it be possible to|is it okay for you to|do you think you can|'
    r'any chance you could|(?:perhaps|maybe) you (?:can|could)|why do not you|how about you|'
    r'(?:could|may|can) i (?:ask|get) you to|i wonder(?: could you)?|'
    r'(?:i would be (?:glad|happy)|i would like it|it would be (?:nice|great|good)|i wonder|'
    r'i(?: would)? appreciate it) if you (?:could|would)|it would be nice of you to|'
    r'(?:it would be great|i would be happy) to see you|if (?:you would|possible|it is not too '
    r'much trouble)|(?:when|whenever) you (?:have a moment|like)|at your convenience',
    r'(?:the|your|my|this|new|next)(?: (?:next|new))? (?:job|task|order|plan|idea|mission|step|'
    r'thing|'
    r'instruction|command)(?: is to)?|(?:command|instruction|order|action|task)|'
    r'it is (?:time|your turn) to|time to|here is (?:what you do|your task)|this is what i want|'
    r'what you do now|do(?: this| the following)?|start now',
    r'(?:go ahead|hurry(?: up)?|be (?:a dear|nice|so kind|a good robot)|do me a favour|'
    r'do me a favor) and|'
    r'be so kind(?: as to)?|feel free to|try to|remember to|make sure (?:to|you)|do not forget to|'
    r'let us(?: see| try this)?|show me how you|let me see you|as we practised|'
    r'for the (?:demo|test)|thanks(?: for that)?|thank you',
)
# What is told beside the order, up to a pause or 'so': 'it is getting late, stop'.
_TOLD = (r'(?:it|that|this|we|i|people|the others) (?:is|was|are|am|have|had|would be|know)'
         r'(?: \w+){1,4}')
_TAILS = (
    _CALL, r'please|pretty please|pls|thx|ta|cheers|thanks|many thanks|thank you|and thank you|'
    r'ok|okay|(?:could|can|will|would) you(?: kindly| do that)?|if you (?:please|would|can|could|'
    r'do not mind)|for (?:me|us)|do not be shy|you can do it|i know you can|i said|i say',
    rf'now|right (?:now|away|there|here)|immediately|instantly|at once|at this point|already|'
    rf'straight ?away|{_any("this", "this very")} (?:instant|moment|second|minute)|without delay|'
    rf'asap|as (?:soon|fast|quickly) as (?:possible|you can)|quick(?:ly)?|(?:and )?be quick|hurry|'
    rf'in a hurry|when you are ready|again|once more|one more time|gently|slowly|carefully|'
    rf'today not tomorrow|completely|{_SPAN}|{_UNTIL}|at all',
    _STATE, _ADVERB, rf'and (?:wait|stay|stand|hold|do nothing|do not move)(?: {_STATE})?',
    r'while i (?:watch|check you)|before (?:we go|(?:something|anything) happens)|'
    r'and nothing else|so we can go home|and then we are done|for the photo|'
    r'that is all(?: i ask)?|'
    r'it is just a test',
)

# --- the search ---------------------------------------------------------------------------------

_PIECES = {name: re.compile(_any(*patterns)) for name, patterns in
           (('lead', _LEADS), ('core', _CORES), ('tail', _TAILS))}
_TOLD_PATTERN = re.compile(_TOLD)
_FOLLOWS = {'begin': ('lead', 'core'), 'lead': ('lead', 'core'),
            'core': ('core', 'tail', 'lead'), 'tail': ('core', 'tail', 'lead')}
_MAX_WORDS = 20
_MAX_PIECE_WORDS = 9

# Words in which a slip of the finger is forgiven, and words that are no such slip.
_STOP_WORDS = ('stop', 'halt', 'freeze', 'cease', 'quit', 'pause', 'wait', 'hold', 'stand', 'stay',
               'keep', 'still', 'there', 'here', 'movement', 'moment', 'move', 'moving', 'motion',
               'walking', 'turning', 'please', 'immediately', 'right', 'not', 'never')
_OTHER_WORDS = frozenset((
    'step', 'top', 'hop', 'shop', 'sit', 'bold', 'half', 'want', 'way', 'say', 'hand', 'sand',
    'love', 'where', 'light', 'night', 'were', 'talking', 'hear', 'hare', 'her', 'these', 'three',
    'more', 'shut', 'salt', 'cold', 'told', 'gold', 'quite', 'stow', 'stomp', 'stab', 'sway',
    'chase', 'waft', 'bread', 'note', 'nod', 'nut', 'net', 'newer'))
_SAID = frozenset(re.findall(r'(?<![a-z\\])[a-z]+', ' '.join((*_CORES, *_LEADS, *_TAILS))))
# 'top' and 'hop' are no stop: the first letter is right. Where two words are as near, the first.
_SPELLER = Speller(_OTHER_WORDS | _SAID, {word: -place for place, word in enumerate(dict.fromkeys(
    (*_STOP_WORDS, *sorted(w for w in _SAID if len(w) > 4))))}, begins_right=True)


def is_stop(text: str) -> bool:
    """Whether the whole utterance is an order to stop, whatever nobody sees between its letters.

    'please stop right now' is; 'stop at the red box', "don't stop" and 'walk to the bus stop'
    are not.
    """
    return any(_is_stop(said) for said in readings(text))


def _is_stop(said: str) -> bool:
    words: list[str] = []
    pauses = {0}  # before which words there is one
    for token in said.split():
        if token == ',':
            pauses.add(len(words))
        elif not words or (word := _SPELLER.meant(token)) != words[-1]:
            words.append(word if words else _SPELLER.meant(token))
    count = len(words)
    if count > _MAX_WORDS:
        return False
    pauses.add(count)
    # Which words can be reached, and what came last: one pass over the words, because a single
    # pattern for all of this would take exponential time on hostile text.
    reached: list[set[str]] = [set() for _ in range(count + 1)]
    reached[0].add('begin')
    for begin in range(count):
        if not reached[begin]:
            continue
        allowed = {name for last in reached[begin] for name in _FOLLOWS[last]}
        for end in range(begin + 1, min(begin + _MAX_PIECE_WORDS, count) + 1):
            piece = ' '.join(words[begin:end])
            found = {name for name in allowed - reached[end] if _PIECES[name].fullmatch(piece)}
            if begin in pauses and (end in pauses or 'so' in words[end - 1:end + 1]) \
                    and _TOLD_PATTERN.fullmatch(piece):
                found |= allowed & {'lead', 'tail'}
            reached[end] |= found
    return bool(reached[-1] & {'core', 'tail'})
