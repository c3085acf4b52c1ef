"""Writes the suites of words that mean an object by where it is: scenes in which they do.

python -m vla_humanoid_control.evaluation.sight_scenes --kind KIND --out config/suites/KIND.yaml
python -m vla_humanoid_control.evaluation.sight_scenes --kind KIND --robot unitree_g1 --out FILE

The sentences stand in `config/phrasings/relations.yaml`. For each, scenes are drawn until one has
an object that it means, one of the same name that it does not mean where there is such a scene,
and a clear margin between the two. Whether a relation holds is reckoned here from the floor plan
of the simulator, apart from `language/relations.py`, which is measured by it.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from vla_humanoid_control.evaluation.suite import AMBIGUOUS, CLEAR, RELATIONS
from vla_humanoid_control.evaluation.true_relations import BY_ANCHOR, BY_SIDE, Thing, extreme
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.layout import Layout, sample_layout, scene_rng
from vla_humanoid_control.simulation.scene import workplace
from vla_humanoid_control.simulation.seeing import TrueView
from vla_humanoid_control.simulation.twins import locate_from
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path, read_yaml
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

FIRST_SEEDS = {RELATIONS: 1_099_513_300_000, AMBIGUOUS: 1_099_513_400_000}
"""Collection draws its scene seeds below 2**31: no scene of these suites was trained on."""
_SIGHT_RAD, _TABLE_SIGHT_RAD = math.radians(33), math.radians(30)
_LEAST_SHARE = 0.6
TABLE = 'table_'
"""Kinds that begin so are told of what is to be reached."""
_OTHERS = {'go_to': 3, 'reach': 2}  # distractors, beside a twin
_MOST_DRAWS, _DRAWS_WITH_ANOTHER = 3000, 700
_MOST_CROWDED = 5  # so many scenes without room are taken to mean that there is none in any
_ENOUGH, _MOST_EACH = 110, 2


class Scenes:
    """Draws scenes and what the robot sees in them from where it starts.

    Attributes:
        table_sight_rad: So far aside it sees what is on the table that it stands at [rad].
    """

    def __init__(self, first_seed: int, robot: RobotSpec) -> None:
        self._place = workplace(robot)
        aside_rad = math.atan(self._place.sight_aside)
        self._sight_rad = min(_SIGHT_RAD, aside_rad)
        self.table_sight_rad = min(_TABLE_SIGHT_RAD, aside_rad)
        self._world = World(robot)
        self._view = TrueView(self._world)
        self._seeds = itertools.count(first_seed)

    def draw(self, task: Task) -> tuple[int, list[Thing], list[Thing]] | None:
        """A seed, and what is in view and at the table of its scene; None where it has no room."""
        seed = next(self._seeds)
        try:
            layout = sample_layout(scene_rng(seed), task, self._place)
        except UserError:
            return None
        things = things_of(layout)
        in_view = [t for t in things if abs(t.bearing) < self._sight_rad and not t.on_table
                   and t.distance > self._place.sight_m[0]]
        at_table = [t for t in things if t.on_table]
        return seed, in_view, at_table

    def confirms(self, seed: int, task: Task, needed: Sequence[Thing],
                 named: Callable[[Thing], bool]) -> bool:
        """Whether all that is needed is well in view, and nothing else of that name is at all."""
        self._world.reset(seed, task)
        seen = [(t.seen, t.in_view) for t in self._view.objects()]
        for thing in needed:
            if not any(ok and s.score >= _LEAST_SHARE and _same(s, thing) for s, ok in seen):
                return False
        return not any(named(_thing(s)) and not any(_same(s, n) for n in needed)
                       for s, _ in seen)

    def close(self) -> None:
        """Free the drawing contexts."""
        self._view.close()
        self._world.close()


def _thing(seen: Any) -> Thing:
    return Thing(seen.colour, seen.shape, seen.bearing_rad, seen.distance_m, seen.on_table)


def _same(seen: Any, thing: Thing) -> bool:
    return (seen.colour, seen.shape) == (thing.colour, thing.shape) \
        and math.dist(_thing(seen).at, thing.at) < 0.15


def things_of(layout: Layout) -> list[Thing]:
    """The objects of a scene, from where the base starts."""
    result = []
    for placed in layout.objects:
        ahead, left = locate_from(layout.base_pose, placed.position)
        result.append(Thing(placed.colour, placed.shape, math.atan2(left, ahead),
                            math.hypot(ahead, left), placed.on_table is not None))
    return result


@dataclass(frozen=True)
class Found:
    """A scene for a sentence, and the words for its blanks."""

    seed: int
    task: Task
    words: Mapping[str, str]


def find(scenes: Scenes, wanted: Sequence[tuple[str, str]]) -> dict[str, list[Found]]:
    """Scenes in each of which one of some sentences is true of one object.

    Args:
        scenes: Where from.
        wanted: Kind, such as 'left_of', and sentence, with '{c}' and '{s}' for the target's colour
            and shape, '{ac}', '{as}' and '{bc}', '{bs}' for those of anchors, '{ss}' for its shape
            in the plural.

    Returns:
        Sentence to its scenes: `_ENOUGH` in all, `_MOST_EACH` for one sentence at most, and none
        for those that are true in none of `_MOST_DRAWS`.
    """
    found: dict[str, list[Found]] = {sentence: [] for _, sentence in wanted}
    for draw in range(_MOST_DRAWS):
        left = sorted(((kind, s) for kind, s in wanted if len(found[s]) < _MOST_EACH),
                      key=lambda w: len(found[w[1]]))
        if not left or sum(map(len, found.values())) >= _ENOUGH:
            break
        family = 'go_to' if draw % 5 else 'reach'
        colour, shape = COLOURS[draw // 2 % 4], SHAPES[(draw // 8 + draw // 2) % 4]
        which = (None, 'left', None, 'right')[draw // 3 % 4]
        task = Task(family, (colour, shape), _OTHERS[family], twins=int(which is not None),
                    which=which)
        least = 1 if draw > _DRAWS_WITH_ANOTHER else 2
        if (scene := _scene(scenes, task, left, least)) is not None:
            found[scene[0]].append(scene[1])
    return found


def _scene(scenes: Scenes, task: Task, left: Sequence[tuple[str, str]], least: int
           ) -> tuple[str, Found] | None:
    """The next scene of a task, and the first of some sentences that is true in it; else None."""
    drawn = scenes.draw(task)
    if drawn is None:
        return None
    seed, things, table = drawn
    if at_table := task.family == 'reach':
        things = [t for t in table if abs(t.bearing) < scenes.table_sight_rad]
        if len(things) < len(table):
            return None  # the robot looks down, and not aside
    for kind, sentence in left:
        if kind.startswith(TABLE) is not at_table or (task.twins and '{c}' not in sentence):
            continue
        way = kind.removeprefix(TABLE)
        fits = _fits(way, sentence, task, things, least if way in BY_ANCHOR else 2)
        if fits is None:
            continue
        needed, words, named = fits
        if at_table or scenes.confirms(seed, task, needed, named):
            return sentence, Found(seed, task, words)
    return None


def _fits(way: str, sentence: str, task: Task, things: Sequence[Thing], least: int
          ) -> tuple[list[Thing], dict[str, str], Callable[[Thing], bool]] | None:
    """What must be seen, the words for the blanks, and what has the target's name."""
    colour, shape = task.arguments

    named = partial(_goes_by_words, sentence, task)
    targets = [t for t in things if (t.colour, t.shape) == task.arguments]
    some = [t for t in things if named(t)]
    if len(targets) != 1 + task.twins or len(some) < least:
        return None
    target = targets[0] if task.which is None else extreme(targets, task.which)
    if target is None:
        return None
    words = {'c': colour, 's': shape, 'ss': f'{shape}es' if shape == 'box' else f'{shape}s'}
    if way in BY_ANCHOR:
        for anchors in _anchors(way, sentence, target, things, some):
            holds = [BY_ANCHOR[way](t, anchors) for t in some]
            if [t for t, ok in zip(some, holds, strict=True) if ok] == [target] \
                    and None not in holds:
                pairs = tuple(zip(('a', 'b'), anchors, strict=False))
                for name, anchor in pairs:
                    words |= {f'{name}c': anchor.colour, f'{name}s': anchor.shape}
                return [*some, *anchors], words, partial(_has_a_name, sentence, named, pairs)
        return None
    return ([*some], words, named) if _picked(way, some) is target else None


def _goes_by_words(sentence: str, task: Task, thing: Thing) -> bool:
    """Whether a thing goes by the name that a sentence has for a task's object."""
    says_shape = '{s}' in sentence or '{ss}' in sentence
    return ('{c}' not in sentence or thing.colour == task.arguments[0]) and (
        not says_shape or thing.shape == task.arguments[1])


def _has_a_name(sentence: str, named: Callable[[Thing], bool],
                anchors: Sequence[tuple[str, Thing]], thing: Thing) -> bool:
    """Whether a thing goes by the name of the target or of an anchor."""
    return named(thing) or any(_goes_by(sentence, name, thing, a) for name, a in anchors)


def _picked(way: str, some: Sequence[Thing]) -> Thing | None:
    """The one of some that words without an anchor mean; None where it is doubtful."""
    if (side := way.removesuffix('_one')) in BY_SIDE:
        return extreme(some, side)
    return None


def _anchors(way: str, sentence: str, target: Thing, things: Sequence[Thing],
             some: Sequence[Thing]) -> Iterator[tuple[Thing, ...]]:
    """What a sentence can be said with regard to: things with names of their own."""
    others = [t for t in things if t not in some]
    for anchors in itertools.permutations(others, 2 if way == 'between' else 1):
        if all(sum(_goes_by(sentence, name, t, a) for t in things) == 1
               for name, a in zip(('a', 'b'), anchors, strict=False)):
            yield anchors


def _goes_by(sentence: str, name: str, thing: Thing, anchor: Thing) -> bool:
    """Whether a thing goes by the name that a sentence has for an anchor."""
    return (f'{{{name}c}}' not in sentence or thing.colour == anchor.colour) \
        and (f'{{{name}s}}' not in sentence or thing.shape == anchor.shape)


# --- what must be asked, and what must not ----------------------------------------------------

def find_open(scenes: Scenes, kind: str, sentence: str, answer: str | None, number: int
              ) -> Found | None:
    """A scene in which a sentence leaves open which object is meant, or does not.

    None where the robot's view has no room for so many objects. Raises UserError where there is
    room, and the sentence fits none of the scenes.
    """
    colour, shape = COLOURS[number % 4], SHAPES[(number // 4 + number) % 4]
    family = 'reach' if kind.startswith(TABLE) else 'go_to'
    which = next((w for w in ('left', 'right', 'near', 'far')
                  if kind in ('twins', 'three', 'table_twins') and answer and w in answer), None)
    twins = {'twins': 1, 'three': 2, 'table_twins': 1}.get(kind, 0)
    task = Task(family, (colour, shape), twins=twins, which=which)
    words = {'c': colour, 's': shape}
    named = partial(_goes_by_words, sentence, task)
    crowded = 0
    for _ in range(_MOST_DRAWS):
        drawn = scenes.draw(task)
        if drawn is None:
            crowded += 1
            if crowded == _MOST_CROWDED:
                return None
            continue
        seed, ahead, table = drawn
        things = ahead if family == 'go_to' else \
            [t for t in table if abs(t.bearing) < scenes.table_sight_rad]
        if family == 'reach' and len(things) < len(table):
            continue
        some = [t for t in things if named(t)]
        wanted = {'twins': 2, 'three': 3, 'table_twins': 2, 'colours': 2, 'shapes': 2,
                  'out_of_view': 0}.get(kind, 1)
        if len(some) != wanted or (some and task.arguments not in [
                (t.colour, t.shape) for t in some]):
            continue
        if family == 'reach' or scenes.confirms(seed, task, some, named):
            return Found(seed, task, words)
    raise UserError(f'{sentence!r} ({kind}) fits none of {_MOST_DRAWS} scenes.')


def relations(robot: RobotSpec) -> list[dict[str, Any]]:
    """The suite of relations, without sentences that are true in no scene."""
    kinds = _sentences()['relations']
    with closing(Scenes(FIRST_SEEDS[RELATIONS], robot)) as scenes:
        found = find(scenes, [(kind, s) for kind, some in kinds.items() for s in some])
    episodes: list[dict[str, Any]] = []
    for kind, sentences in kinds.items():
        every = [(sentence, scene) for sentence in sentences for scene in found[sentence]]
        for number, (sentence, scene) in enumerate(every):
            episodes.append({
                'id': f'{kind}-{number:03d}', 'instruction': sentence.format(**scene.words),
                **scene.task.to_mapping(), 'seed': scene.seed, 'counted_as': RELATIONS,
                'kind': kind})
    return episodes


def ambiguous(robot: RobotSpec) -> list[dict[str, Any]]:
    """The suite of what must be asked and what must not.

    Kinds for which this robot's view has no room, such as three alike, are left out, and named.
    """
    episodes: list[dict[str, Any]] = []
    with closing(Scenes(FIRST_SEEDS[AMBIGUOUS], robot)) as scenes:
        for family in (AMBIGUOUS, CLEAR):
            for kind, sentences in _sentences()[family].items():
                for number, said in enumerate(sentences):
                    sentence, answer = said if isinstance(said, list) else (said, None)
                    found = find_open(scenes, kind, sentence, answer, number + len(episodes))
                    if found is None:
                        print(f'{family}, {kind}: left out, there is no room.', file=sys.stderr)
                        break
                    more = {} if answer is None else {'answer': answer.format(**found.words)}
                    episodes.append({
                        'id': f'{family}-{kind}-{number:03d}',
                        'instruction': sentence.format(**found.words), **more,
                        **found.task.to_mapping(), 'seed': found.seed, 'counted_as': family,
                        'kind': kind})
    return episodes


def _sentences() -> dict[str, dict[str, list[Any]]]:
    document = read_yaml(config_path('phrasings') / 'relations.yaml', 'Sentences', '')
    assert isinstance(document, dict)
    return document


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kind', choices=(RELATIONS, AMBIGUOUS), required=True)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--robot', default='humanoid', help='name or path of the robot file')
    arguments = parser.parse_args()
    robot = load_robot(arguments.robot)
    others = '' if arguments.robot == 'humanoid' else f' --robot {arguments.robot}'
    header = ('# Words that mean an object by where it is, or leave open which one, in scenes '
              'made for them.\n# Made by python -m vla_humanoid_control.evaluation.sight_scenes '
              f'--kind {arguments.kind}{others}\n'
              '# of the sentences in config/phrasings/relations.yaml.\n')
    lines = [yaml.safe_dump(e, default_flow_style=True, sort_keys=False, width=10**6).strip()
             for e in (relations if arguments.kind == RELATIONS else ambiguous)(robot)]
    arguments.out.write_text(header + ''.join(f'- {line}\n' for line in lines), encoding='utf-8')


if __name__ == '__main__':
    main()
