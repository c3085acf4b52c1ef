"""Does a policy do what it is told, or what its scene suggests? Success when told something else.

The scene and what counts as success stay those of an episode. It is told the instruction of
another one, or its own with one word exchanged (a minimal pair, such as 'go to the blue box' for
'go to the red box'): then a policy that listens does not succeed, but by chance.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vla_humanoid_control.evaluation.report import episode_row, proportion
from vla_humanoid_control.evaluation.rollout import EpisodeResult
from vla_humanoid_control.evaluation.suite import (
    AMBIGUOUS,
    HELD_FAMILIES,
    RELATIONS,
    Episode,
)
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import OBJECT_FAMILIES, keys_of

OWN, ANOTHER, MINIMAL_PAIR = 'own', 'another', 'minimal_pair'
_WORD = re.compile('[a-z]+', re.IGNORECASE)
_COUNTERPARTS: Mapping[str, Mapping[str, str]] = {
    'red': {'red': 'blue'}, 'blue': {'blue': 'red'},
    'green': {'green': 'yellow'}, 'yellow': {'yellow': 'green'},
    'box': {'box': 'ball'}, 'ball': {'ball': 'box'},
    'cup': {'cup': 'cone'}, 'cone': {'cone': 'cup'},
    'forward': {'forward': 'backward', 'forwards': 'backwards', 'ahead': 'backwards'},
    'backward': {'backward': 'forward', 'backwards': 'forwards'},
    'left': {'left': 'right', 'leftward': 'rightward', 'leftwards': 'rightwards',
             'counterclockwise': 'clockwise', 'anticlockwise': 'clockwise',
             'leftmost': 'rightmost'},
    'right': {'right': 'left', 'rightward': 'leftward', 'rightwards': 'leftwards',
              'clockwise': 'counterclockwise', 'rightmost': 'leftmost'},
    'up': {'up': 'down', 'upward': 'downward', 'upwards': 'downwards'},
    'down': {'down': 'up', 'downward': 'upward', 'downwards': 'upwards'},
    'near': {'near': 'far', 'nearest': 'farthest', 'closest': 'farthest', 'nearer': 'farther',
             'closer': 'farther'},
    'far': {'far': 'near', 'farthest': 'nearest', 'furthest': 'nearest', 'farther': 'nearer',
            'further': 'nearer'}}
"""Value of a task's argument to the words that say it, and those that say another one instead."""


def told_otherwise(episodes: Sequence[Episode]) -> dict[str, list[Episode]]:
    """The episodes that can be told something else, told so; the same ones for the same suite.

    What the robot must not do, and stopping, is left out: nobody is to obey there, and a robot
    that is told anything else may stop for it.

    Returns:
        `ANOTHER`, and `MINIMAL_PAIR` for the instructions that have one.

    Raises:
        UserError: There are no such episodes, or their tasks do not differ.
    """
    able = obeying(episodes)
    if not able:
        raise UserError('No episode of the suite asks the robot to do anything but to stop: there '
                        'is nothing to obey.')
    pairs = [_in_a_pair(episode) for episode in able]
    return {ANOTHER: [_told(e, words, ANOTHER) for e, words in zip(able, exchange(able))],
            MINIMAL_PAIR: [e for e in pairs if e is not None]}


def obeying(episodes: Sequence[Episode]) -> list[Episode]:
    """Those in which success means that the robot did something."""
    return [e for e in episodes if e.family not in (*HELD_FAMILIES, 'stop')]


def exchange(episodes: Sequence[Episode]) -> list[str]:
    """For each episode the instruction of another one, which does not achieve its task in passing.

    Raises:
        UserError: An episode has no such other one.
    """
    count, step = len(episodes), len(episodes) // 2 + 1
    asked = [{_plain(part) for part in e.task.parts} for e in episodes]
    achieved = [_achieved(e.task) for e in episodes]
    said = []
    for i, episode in enumerate(episodes):
        others = ((i + step + k) % count for k in range(count))
        other = next((o for o in others if asked[i] - achieved[o]), None)
        if other is None:
            raise UserError(f'No episode asks for anything else than {episode.id} '
                            f'({episode.task.key}): whether the robot obeys takes a suite of '
                            'different tasks.')
        said.append(episodes[other].instruction)
    return said


def minimal_pair(episode: Episode) -> str | None:
    """Its instruction with one word exchanged, so that it asks for something else.

    Where several words could be, the id decides. None where no word says the argument of a task
    or where an object is, or one stands there more often than tasks ask for it ('turn right, right
    now').
    """
    words = [match.group().lower() for match in _WORD.finditer(episode.instruction)]
    values = [value for task in episode.task.steps or (episode.task,) for value in _values(task)]
    if episode.counted_as == RELATIONS and episode.kind is not None:
        where = episode.kind.removeprefix('table_').partition('_')[0]  # 'left' of 'left_of'
        values += [] if where in values else [where]
    options = []
    for value in dict.fromkeys(values):
        places = [i for i, word in enumerate(words) if word in _COUNTERPARTS.get(value, {})]
        if len(places) == values.count(value):
            options.append((places[0], _COUNTERPARTS[value][words[places[0]]]))
    if not options:
        return None
    place, counterpart = options[zlib.crc32(episode.id.encode()) % len(options)]
    match = list(_WORD.finditer(episode.instruction))[place]
    said = match.group()
    counterpart = counterpart.upper() if said.isupper() else \
        counterpart.capitalize() if said[0].isupper() else counterpart
    return episode.instruction[:match.start()] + counterpart + episode.instruction[match.end():]


def _in_a_pair(episode: Episode) -> Episode | None:
    """An episode told its minimal pair; where it must ask, in the answer. None without one."""
    if episode.counted_as == AMBIGUOUS and episode.answer is not None:
        words = minimal_pair(replace(episode, instruction=episode.answer))
        return None if words is None else replace(
            _told(episode, episode.instruction, MINIMAL_PAIR), answer=words)
    words = minimal_pair(episode)
    return None if words is None else _told(episode, words, MINIMAL_PAIR)


def obedience(own: Sequence[EpisodeResult], told: Mapping[str, Sequence[EpisodeResult]]
              ) -> dict[str, dict[str, Any]]:
    """Success with the own instruction, and with others, each with its 95 % Wilson interval.

    Args:
        own: The suite as it stands.
        told: What became of `told_otherwise`.

    Returns:
        `OWN`, `ANOTHER` and `MINIMAL_PAIR` with `n`, `successes`, `wilson_low` and `wilson_high`;
        the latter two also with their `episodes`.
    """
    counted = [r for r in own if r.task not in (*HELD_FAMILIES, 'stop')]
    return {OWN: proportion(counted),
            **{name: {**proportion(results), 'episodes': [episode_row(r) for r in results]}
               for name, results in told.items()}}


def obedience_text(report: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of `obedience` in a sentence."""
    names = {OWN: 'its own instruction', ANOTHER: 'another', MINIMAL_PAIR: 'a minimal pair'}
    shares = [f'{row["successes"] / row["n"]:.1%} with {names[name]} '
              f'({row["wilson_low"]:.1%} to {row["wilson_high"]:.1%}, n {row["n"]})'
              if row['n'] else f'no sentence has {names[name]}' for name, row in report.items()]
    return 'obedience: success ' + ', '.join(shares)


def _told(episode: Episode, words: str, how: str) -> Episode:
    return replace(episode, id=f'{episode.id} ({how})', instruction=words)


def _achieved(task: Task) -> set[str]:
    """Keys of the tasks that are achieved where this one is, in passing as well."""
    keys = {_plain(part) for part in task.parts}
    for part in task.parts:
        if part.family == 'turn':
            keys |= set(keys_of('turn'))  # whoever turns around has turned left, too
        elif part.family in OBJECT_FAMILIES:
            keys.add('gesture:look_down')  # at the object
        elif part.arguments == ('wave',):
            keys |= {'gesture:raise_left', 'gesture:raise_right'}
    return keys


def _plain(part: Task) -> str:
    """Its key, whatever the amount."""
    return replace(part, amount=None).key


def _values(task: Task) -> list[str]:
    """What a word of the instruction may say: colour, shape, direction, side, which one."""
    if task.family == 'gesture':
        return [task.arguments[0].split('_')[-1]]
    return [*task.arguments, *(() if task.which is None else (task.which,))]
