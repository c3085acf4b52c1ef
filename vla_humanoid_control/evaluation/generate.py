"""Writes the suites that the figures of the documentation come from.

python -m vla_humanoid_control.evaluation.generate --kind KIND --out config/suites/KIND.yaml

`unseen` has scenes and phrasings that training never saw. `impaired` has the same, seen badly: it
tells whether the confidence knows when the policy fails. `held` has what the robot must not do:
requests outside its abilities, and cameras that break. `pictures` has cameras that show pictures
of anything but a robot's world, of packages that are installed here. `plain` has the shortest
words for each task, for policies that know few: every other scene is seen badly. `harder` has
obstacles in the way, targets behind the robot or half hidden, clutter, and rooms that nothing was
trained in.

`--split val` draws the phrasings of the
validation split: to choose between checkpoints without looking at what they are measured by.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import yaml

from vla_humanoid_control.evaluation import impaired_view
from vla_humanoid_control.evaluation.camera_faults import FIRST_KINDS, FURTHER_KINDS
from vla_humanoid_control.evaluation.pictures import load_pictures
from vla_humanoid_control.evaluation.suite import BROKEN_CAMERA, OTHER_PICTURE
from vla_humanoid_control.robot.abilities import keys_for
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.rooms import ROOMS, SQUARE, TRAINED_ROOMS
from vla_humanoid_control.simulation.settings import BEHIND, HALF_HIDDEN
from vla_humanoid_control.tasks.phrasings import Split, out_of_scope, phrasings
from vla_humanoid_control.tasks.task import MAX_DISTRACTORS, Task
from vla_humanoid_control.tasks.vocabulary import FAMILIES, OUT_OF_SCOPE

FIRST_SEED = 2**40
"""Collection draws its scene seeds below 2**31: no scene of this suite was trained on."""
HELD_FIRST = 500_000
"""Seeds of the suite `held` begin so far above those of `unseen`."""
IMPAIRED_FIRST = 600_000
"""Likewise those of `impaired`."""
PICTURES_FIRST = 700_000
"""Likewise those of `pictures`."""
PLAIN_FIRST = 800_000
"""Likewise those of `plain`."""
HARDER_FIRST = 900_000
"""Likewise those of `harder`."""
HARDER = {'move': ('obstacles', 'other_room'),
          'go_to': ('obstacles', HALF_HIDDEN, BEHIND, 'clutter', 'other_room'),
          'reach': ('clutter', 'other_room')}
"""What can be hard in the scenes of a family."""
_SHORTEST = {'move': 'walk {}', 'turn': 'turn {}', 'go_to': 'go to the {} {}',
             'reach': 'reach for the {} {}'}
SEEING = ('move', 'turn', 'go_to', 'reach', 'gesture')
"""The families whose camera breaks; nobody needs one to stop."""


def generate(per_family: int, seed: int, split: Split = 'test',
             robot: RobotSpec | None = None) -> list[dict[str, Any]]:
    """Episodes in the form of a suite, the same ones for the same arguments.

    Args:
        per_family: Episodes for each family, spread evenly over its arguments.
        seed: Decides the scenes, and which phrasings are drawn.
        split: Whose phrasings.
        robot: Gestures that it does not know are left out.
    """
    draw = _Phrasings(random.Random(f'unseen/{seed}'), split)
    first = FIRST_SEED + seed * 10**6
    episodes: list[dict[str, Any]] = []
    for family in FAMILIES:
        for number in range(per_family):
            key = _key(family, number, robot)
            episodes.append({'id': f'{family}-{number:03d}', 'instruction': draw.one(key),
                             **Task.from_key(key).to_mapping(), 'seed': first + len(episodes)})
    return episodes


def generate_impaired(per_family: int, seed: int, split: Split = 'test',
                      robot: RobotSpec | None = None) -> list[dict[str, Any]]:
    """Episodes with a bad view all the time, the same ones for the same arguments.

    Args:
        per_family: Episodes for each family that needs to see, spread evenly over its arguments
            and over the kinds of impairment.
        seed: Decides the scenes, and which phrasings are drawn.
        split: Whose phrasings.
        robot: Gestures that it does not know are left out.
    """
    draw = _Phrasings(random.Random(f'impaired/{seed}'), split)
    first = FIRST_SEED + seed * 10**6 + IMPAIRED_FIRST
    kinds = impaired_view.KINDS
    episodes: list[dict[str, Any]] = []
    for family in SEEING:
        for number in range(per_family):
            key, count = _key(family, number, robot), len(keys_for(robot, family))
            # The next kind in each round through the arguments, so that each gets every kind.
            kind = kinds[(number % count + number // count) % len(kinds)]
            episodes.append({'id': f'{family}-{number:03d}', 'instruction': draw.one(key),
                             **Task.from_key(key).to_mapping(), 'seed': first + len(episodes),
                             'view': kind})
    return episodes


def generate_held(per_family: int, seed: int, split: Split = 'test',
                  robot: RobotSpec | None = None) -> list[dict[str, Any]]:
    """Episodes in which success means that the robot is held, the same for the same arguments.

    Args:
        per_family: Requests out of scope; as many cameras that break in one of `FIRST_KINDS`, and
            as many in one of `FURTHER_KINDS`, spread evenly over the kinds and over the tasks that
            need to see.
        seed: Decides the scenes, and which phrasings are drawn.
        split: Whose phrasings.
        robot: Gestures that it does not know are left out.
    """
    rng = random.Random(f'held/{seed}')
    draw = _Phrasings(rng, split)
    first = FIRST_SEED + seed * 10**6 + HELD_FIRST
    requests = rng.sample(out_of_scope(split), per_family)
    episodes = [{'id': f'{OUT_OF_SCOPE}-{number:03d}', 'instruction': words, 'task': OUT_OF_SCOPE,
                 'seed': first + number} for number, words in enumerate(requests)]
    for before, kinds in ((0, FIRST_KINDS), (per_family, FURTHER_KINDS)):
        for number in range(per_family):
            kind, turn = kinds[number % len(kinds)], number // len(kinds)
            family = SEEING[turn % len(SEEING)]
            # The next argument each time: every kind gets other ones.
            key = _key(family, turn // len(SEEING) * len(kinds) + number % len(kinds), robot)
            episodes.append({'id': f'{BROKEN_CAMERA}-{before + number:03d}',
                             'instruction': draw.one(key), **Task.from_key(key).to_mapping(),
                             'seed': first + per_family + before + number, 'camera': kind})
    return episodes


def generate_pictures(per_family: int, seed: int, split: Split = 'test',
                      robot: RobotSpec | None = None) -> list[dict[str, Any]]:
    """Episodes in which the cameras show a picture instead of the world.

    Args:
        per_family: Episodes for each family that needs to see, spread evenly over its arguments
            and over the pictures.
        seed: Decides the scenes, and which phrasings are drawn.
        split: Whose phrasings.
        robot: Gestures that it does not know are left out.
    """
    draw = _Phrasings(random.Random(f'pictures/{seed}'), split)
    first = FIRST_SEED + seed * 10**6 + PICTURES_FIRST
    names = list(load_pictures())
    episodes: list[dict[str, Any]] = []
    for family in SEEING:
        for number in range(per_family):
            key = _key(family, number, robot)
            episodes.append({'id': f'{OTHER_PICTURE}-{len(episodes):03d}',
                             'instruction': draw.one(key), **Task.from_key(key).to_mapping(),
                             'seed': first + len(episodes),
                             'picture': names[len(episodes) % len(names)]})
    return episodes


def generate_plain(per_family: int, seed: int, split: Split = 'test',
                   robot: RobotSpec | None = None) -> list[dict[str, Any]]:
    """Episodes in the shortest words, every other one seen badly.

    Args:
        per_family: Episodes for each family that needs to see, spread evenly over its arguments,
            and requests out of scope.
        seed: Decides the scenes, and which requests are drawn.
        split: Whose requests out of scope.
        robot: Gestures that it does not know are left out.
    """
    first = FIRST_SEED + seed * 10**6 + PLAIN_FIRST
    kinds = impaired_view.KINDS
    episodes: list[dict[str, Any]] = []
    for family in SEEING:
        for number in range(per_family):
            key = _key(family, number, robot)
            view = {'view': kinds[number // 2 % len(kinds)]} if number % 2 else {}
            episodes.append({'id': f'{family}-{number:03d}', 'instruction': _shortest(key),
                             **Task.from_key(key).to_mapping(), 'seed': first + len(episodes),
                             **view})
    requests = random.Random(f'plain/{seed}').sample(out_of_scope(split), per_family)
    return episodes + [{'id': f'{OUT_OF_SCOPE}-{number:03d}', 'instruction': words,
                        'task': OUT_OF_SCOPE, 'seed': first + len(episodes) + number}
                       for number, words in enumerate(requests)]


def generate_harder(per_family: int, seed: int, split: Split = 'test',
                    robot: RobotSpec | None = None) -> list[dict[str, Any]]:
    """Episodes in scenes that are harder than a seed alone makes them, counted by what is hard.

    Args:
        per_family: Episodes for each of `HARDER`, spread evenly over its arguments and over what
            is hard.
        seed: Decides the scenes, and which phrasings are drawn.
        split: Whose phrasings.
        robot: Its families are the same for all.
    """
    draw = _Phrasings(random.Random(f'harder/{seed}'), split)
    first = FIRST_SEED + seed * 10**6 + HARDER_FIRST
    episodes: list[dict[str, Any]] = []
    for family, kinds in HARDER.items():
        for number in range(per_family):
            kind, turn = kinds[number % len(kinds)], number // len(kinds)
            key = _key(family, number, robot)
            episodes.append({'id': f'{family}-{number:03d}', 'instruction': draw.one(key),
                             **Task.from_key(key).to_mapping(), 'seed': first + len(episodes),
                             'kind': kind, **_harder(kind, turn)})
    return episodes


def _harder(kind: str, turn: int) -> dict[str, Any]:
    """What an episode of a kind says of its scene, the next one each time."""
    if kind == 'other_room':
        return {'scene': {'room': [r for r in ROOMS if r not in TRAINED_ROOMS][turn % 2]}}
    room = list(ROOMS)[turn % len(ROOMS)]
    scene: dict[str, Any] = {} if room == SQUARE else {'room': room}
    if kind == 'clutter':
        return {'distractors': MAX_DISTRACTORS, 'scene': {**scene, 'obstacles': 2}}
    if kind == 'obstacles':
        return {'scene': {**scene, 'obstacles': 1 + turn % 3}}
    return {'scene': {**scene, 'target': kind}}


def _shortest(key: str) -> str:
    """Such as 'walk forward', 'go to the red box', 'raise left hand'."""
    family, *arguments = key.split(':')
    if family == 'gesture':
        words = arguments[0].replace('_', ' ')
        return f'{words} hand' if words.startswith('raise') else words
    return _SHORTEST[family].format(*arguments)


def _key(family: str, number: int, robot: RobotSpec | None) -> str:
    """The task whose turn it is, through a family's arguments in order."""
    keys = keys_for(robot, family)
    return keys[number % len(keys)]


class _Phrasings:
    """Draws phrasings, each once until all of a task were drawn."""

    def __init__(self, rng: random.Random, split: Split) -> None:
        self._rng, self._split = rng, split
        self._unused: dict[str, list[str]] = {}

    def one(self, key: str) -> str:
        if not self._unused.get(key):
            every = phrasings(key, self._split)
            self._unused[key] = self._rng.sample(every, len(every))
        return self._unused[key].pop()


GENERATORS = {'unseen': generate, 'impaired': generate_impaired, 'held': generate_held,
              'pictures': generate_pictures, 'plain': generate_plain, 'harder': generate_harder}
_TITLES = {'unseen': 'Scenes and phrasings that training never saw',
           'impaired': 'Scenes and phrasings that training never saw, seen badly',
           'held': 'What the robot must not do: requests outside its abilities, broken cameras',
           'pictures': 'Pictures of other things, from packages that training never imports',
           'plain': 'The shortest words for each task, every other scene seen badly',
           'harder': 'Harder scenes: obstacles, targets out of sight, clutter, other rooms'}


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kind', choices=GENERATORS, default='unseen')
    parser.add_argument('--per-family', type=int, default=100)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--split', choices=('val', 'test'), default='test')
    parser.add_argument('--robot', help='leave out gestures that it does not know')
    parser.add_argument('--out', type=Path, required=True)
    arguments = parser.parse_args()
    robot = load_robot(arguments.robot) if arguments.robot else None
    header = (f'# {_TITLES[arguments.kind]}, {arguments.per_family} episodes a family.\n'
              '# Made by python -m vla_humanoid_control.evaluation.generate '
              f'--kind {arguments.kind} --per-family {arguments.per_family} '
              f'--seed {arguments.seed} --split {arguments.split}'
              + (f' --robot {arguments.robot}\n' if arguments.robot else '\n'))
    lines = [yaml.safe_dump(e, default_flow_style=True, sort_keys=False, width=10**6,
                            allow_unicode=True).strip()
             for e in GENERATORS[arguments.kind](arguments.per_family, arguments.seed,
                                                 arguments.split, robot)]
    arguments.out.write_text(header + ''.join(f'- {line}\n' for line in lines), encoding='utf-8')


if __name__ == '__main__':
    main()
