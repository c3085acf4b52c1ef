"""Requests in plainer words that ask for the same: 'pivot so you are facing left' is 'turn left'.

What is left out or exchanged changes nothing of what is done. Everything else counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from vla_humanoid_control.language.trees import OBJECT

_Words = tuple[str, ...]
_SAME: tuple[tuple[str, str], ...] = (
    ('leftward', 'left'), ('leftwards', 'left'), ('rightward', 'right'), ('rightwards', 'right'),
    ('onward', 'forward'), ('onwards', 'forward'), ('rearward', 'back'), ('rearwards', 'back'),
    ('upwards', 'up'), ('upward', 'up'), ('downwards', 'down'), ('downward', 'down'),
    ('round', 'around'), ('meter', 'metre'), ('meters', 'metres'), ('toward', 'towards'),
    ('halfway around', 'around'), ('all the way around', 'around'),
    ('the other way around', 'around'), ('the other way', 'around'),
    ('in a clockwise direction', 'clockwise'), ('in the clockwise direction', 'clockwise'),
    ('in an anticlockwise direction', 'anticlockwise'),
    ('in a counterclockwise direction', 'counterclockwise'),
    ('so you', 'so that you'), ('until you', 'so that you'), ('are facing', 'face'),
    ('so that you face backwards', 'around'), ('so that you face backward', 'around'),
    ('so that you face', 'to'), ('to face', 'to'), ('on your', 'to your'), ('on the', 'to the'),
    ('make a little room by stepping', 'step'), ('make some room by stepping', 'step'),
    ('quarter right turn', 'right turn'), ('quarter left turn', 'left turn'),
    ('a left turn', 'turn left'), ('a right turn', 'turn right'), ('make a left', 'turn left'),
    ('make a right', 'turn right'), ('take a left', 'turn left'),
    ('take a right', 'turn right'), ('a bit further', 'a bit'), ('a little further', 'a little'),
    ('towards your', 'to your'), ('towards the left', 'to the left'),
    ('towards the right', 'to the right'), ('give me a turn', 'turn'), ('give us a turn', 'turn'),
    ('over to', 'to'), ('raise up', 'raise'), ('lift up', 'raise'),
    ('straight on', 'straight'), ('check the view', 'look'), ('little wave', 'wave'),
    ('big wave', 'wave'), ('friendly wave', 'wave'), ('nice wave', 'wave'), ('quick look', 'look'),
    ('short look', 'look'), ('quick glance', 'glance'),
    ('a couple of steps', 'some steps'), ('a few steps', 'some steps'),
    ('a few paces', 'some steps'), ('some paces', 'some steps'),
    ('a couple of paces', 'some steps'), ('make some steps', 'take some steps'),
    *((f'{a} {arm} the {side} one', f'your {side} hand') for a in ('a', 'an', 'one', 'your')
      for arm in ('hand', 'arm') for side in ('left', 'right')),
    ('an arm', 'a hand'), ('arm', 'hand'),
    *((people, 'me') for people in (
        'us', 'the camera', 'the children', 'the kids', 'the people', 'the visitors', 'the guests',
        'our guests', 'our visitors', 'the crowd', 'the audience', 'the team', 'the class',
        'everyone', 'everybody')))
_EACH_AS: tuple[tuple[str, ...], ...] = (
    ('turn', 'rotate', 'spin', 'pivot', 'swivel'),
    ('walk', 'step', 'move', 'go', 'march', 'proceed', 'advance', 'stride'),
    ('look', 'gaze', 'glance', 'peer'), ('raise', 'lift'),
    ('forward', 'forwards', 'ahead'), ('back', 'backward', 'backwards'))
"""Each word of a group means the same as the others: the verbs before a direction."""
_STRESSING_WAY = frozenset((
    'straight', 'directly', 'over', 'across', 'up', 'along', 'right', 'just', 'now', 'on', 'first',
    'out', 'all', 'way'))
_BEFORE_TO = frozenset(('over', 'across', 'up', 'along', 'out', 'on'))
_STRESSING = frozenset((
    'quickly', 'slowly', 'carefully', 'quietly', 'calmly', 'steadily', 'swiftly', 'gently',
    'softly', 'lightly', 'briefly', 'smoothly', 'completely'))
_ENDINGS: tuple[_Words, ...] = tuple(tuple(e.split()) for e in (
    'without turning', 'some steps', 'a bit', 'a little', 'a bit more', 'a little more',
    'for a metre', 'a metre', 'a step or two', 'one or two steps', 'for a moment', 'for a bit'))
"""Of going somewhere, so far as it leaves open how far."""
_FURTHER: tuple[_Words, ...] = tuple(tuple(e.split()) for e in (
    'a bit more', 'a bit further', 'a little more', 'a little further', 'a bit', 'a little',
    'further', 'some more'))
"""Before a direction alone."""
_PLACES: tuple[_Words, ...] = (
    ('there', 'on', 'the', 'table'), ('there', 'on', 'the', 'desk'), ('on', 'the', 'table'),
    ('on', 'the', 'desk'))
"""Where what is reached for stands."""
_LIMBS = frozenset(('hand', 'hands', 'arm', 'arms', 'gripper', 'finger', 'fingers', 'palm'))
_SIDES = frozenset(('left', 'right'))
_WAYS = frozenset((*_SIDES, *_EACH_AS[-2], *_EACH_AS[-1]))


def plainer(core: _Words) -> Iterator[_Words]:
    """Plainer ways to say a core, the most like it first."""
    ways = _about_object(core) if OBJECT in core else _about_direction(core)
    seen = {core}
    for way in ways:
        if way and way not in seen:
            seen.add(way)
            yield way


def _about_object(core: _Words) -> Iterator[_Words]:
    """'can your hand touch the cup there on the table' is 'touch the cup'."""
    if core[0] in ('can', 'could', 'will', 'would') and core[1] == 'your' and core[2] in _LIMBS:
        core = core[3:]
        yield core
    if (place := _ending(core, _PLACES)) and core[0] not in ('go', 'walk', 'move', 'get'):
        core = core[:-len(place)]
        yield core
    yield from _without(core, _STRESSING | _STRESSING_WAY)


def _changes_nothing(core: _Words, i: int) -> bool:
    """Whether a word may go: 'over to the box' has one, 'reach over the box' has none."""
    return core[i] not in _BEFORE_TO or core[i + 1:i + 2] in (('to',), ('towards',), ('for',))


def _about_direction(core: _Words) -> Iterator[_Words]:
    same = _exchanged(core)
    ways = [core, same]
    if further := next((f for f in _FURTHER if same[:len(f)] == f
                        and set(same[len(f):]) <= _WAYS), ()):
        ways.append(('move', *same[len(further):]))
    if same[0] not in (*_EACH_AS[0], *_EACH_AS[2], *_EACH_AS[3]) \
            and (ending := _ending(same, _ENDINGS)):
        ways.append(same[:-len(ending)])
    for way in list(ways):
        ways += list(_without(way, _STRESSING))
    for group in _EACH_AS:
        for way in list(ways):
            at = next((i for i, word in enumerate(way) if word in group), None)
            if at is not None and (at == 0 or group in _EACH_AS[-2:]):
                ways += [(*way[:at], word, *way[at + 1:]) for word in group if word != way[at]]
    for way in ways:
        yield way
        yield from _with_side(way)


def _exchanged(core: _Words) -> _Words:
    line = f' {" ".join(core)} '
    for words, plain in _SAME:
        line = line.replace(f' {words} ', f' {plain} ')
    return tuple(line.split())


def _ending(core: _Words, endings: tuple[_Words, ...]) -> _Words:
    return max((e for e in endings if len(e) < len(core) and core[-len(e):] == e), key=len,
               default=())


def _with_side(way: _Words) -> Iterator[_Words]:
    """'turn left' as 'turn to the left', and the other way round."""
    if len(way) > 1 and way[-1] in _SIDES:
        lead = way[:-1]
        while lead and lead[-1] in ('to', 'the', 'your'):
            lead = lead[:-1]
        for between in ((), ('to', 'the'), ('to', 'your')):
            yield (*lead, *between, way[-1])


def _without(core: _Words, stressing: frozenset[str]) -> Iterator[_Words]:
    """A core without some words, all of them or one or all but one."""
    at = [i for i, word in enumerate(core) if word in stressing and _changes_nothing(core, i)]
    if at:
        yield tuple(w for i, w in enumerate(core) if i not in at)
    for left in at if len(at) > 1 else ():
        yield tuple(w for i, w in enumerate(core) if i != left)
        yield tuple(w for i, w in enumerate(core) if i == left or i not in at)
