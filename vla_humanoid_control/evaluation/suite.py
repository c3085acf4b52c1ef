"""Evaluation suites: a YAML list of episodes, one mapping each, that anyone can write.

    - {id: a, instruction: walk over to the crate, task: go_to, colour: red, shape: box, seed: 7}

`task` and its arguments say what counts as success; `instruction` is what the robot is told. Where
the robot must not act, because the task is `out_of_scope`, the `camera` breaks or it shows a
`picture` instead of the world, success means that it is held.

    - {id: b, instruction: go to the red box and wave, seed: 7, task: steps,
       steps: [{task: go_to, colour: red, shape: box}, {task: gesture, gesture: wave}]}
    - {id: c, instruction: walk two metres, seed: 7, task: quantity,
       of: {task: move, direction: forward}, value: 2.0, unit: m}
    - {id: d, instruction: do not wave, seed: 7, task: out_of_scope, kind: negation}
    - {id: e, instruction: go to the red box, seed: 7, task: go_to, colour: red, shape: box,
       which: left, counted_as: ambiguous, kind: left_right, answer: the left one}
    - {id: f, instruction: go to the cup, seed: 7, task: go_to, colour: red, shape: cup,
       scene: {room: long, obstacles: 2, target: behind}, kind: obstacles}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_humanoid_control.evaluation import camera_faults, impaired_view, pictures
from vla_humanoid_control.language.intake import Rejection, check_command
from vla_humanoid_control.simulation.layout import sample_layout, scene_rng
from vla_humanoid_control.simulation.settings import PLAIN, Setting
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import read_yaml
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import (
    ARGUMENTS,
    FAMILIES,
    OBJECT_FAMILIES,
    OUT_OF_SCOPE,
    QUANTITY,
    STEPS,
)

BROKEN_CAMERA, OTHER_PICTURE = 'broken_camera', 'other_picture'
RELATIONS, AMBIGUOUS, CLEAR = 'relations', 'ambiguous', 'clear'
SIGHT_FAMILIES = (RELATIONS, AMBIGUOUS, CLEAR)
"""What words mean by what is in view, which an episode can be `counted_as`: where an object is;
what must be asked for; and what needs no asking."""
HELD_FAMILIES = (OUT_OF_SCOPE, BROKEN_CAMERA, OTHER_PICTURE)
"""What the robot must not do, counted apart from what it shall do."""
MAX_BYTES = 10_000_000
MOST_COUNTED = 3
"""Episodes of so many steps are counted with those of more."""
_COMMON = ('id', 'instruction', 'task', 'seed', 'distractors', 'camera', 'view', 'picture',
           'answer', 'counted_as', 'scene')
_ARGUMENTS: Mapping[str, Sequence[str]] = {
    **{family: tuple(names) for family, names in ARGUMENTS.items()}, OUT_OF_SCOPE: ('kind',),
    **{family: (*ARGUMENTS[family], 'twins', 'which') for family in OBJECT_FAMILIES},
    STEPS: ('steps',), QUANTITY: ('of', 'value', 'unit')}


@dataclass(frozen=True)
class Episode:
    """One trial.

    Attributes:
        id: Unique in its suite.
        instruction: What the robot is told.
        task: What counts as success.
        seed: Decides the scene.
        camera: How the camera breaks, one of `camera_faults.KINDS`; None where it stays whole.
        view: How the view is impaired all the time, one of `impaired_view.KINDS`; None where it
            is clear.
        picture: What the cameras show instead of the world, see `pictures.read_picture`; None
            where they show the world.
        kind: Of what is out of scope, such as 'negation', or of what it is `counted_as`; None
            where nothing is said of it.
        answer: What a person says where the robot asks: it must ask, and go on. None where it must
            not ask.
        counted_as: One of `SIGHT_FAMILIES`, in the place of the task's own family; None for that.
        setting: What makes the scene harder than its seed alone.
    """

    id: str
    instruction: str
    task: Task
    seed: int
    camera: str | None = None
    view: str | None = None
    picture: str | None = None
    kind: str | None = None
    answer: str | None = None
    counted_as: str | None = None
    setting: Setting = PLAIN

    @property
    def family(self) -> str:
        """The family that it is counted in.

        That of its task, one of `SIGHT_FAMILIES` or `HELD_FAMILIES`, 'quantity', or 'steps_2' or
        'steps_3', by the number of steps.
        """
        if self.counted_as is not None:
            return self.counted_as
        if self.picture is not None:
            return OTHER_PICTURE
        if self.camera is not None:
            return BROKEN_CAMERA
        if self.task.steps:
            return f'{STEPS}_{min(len(self.task.steps), MOST_COUNTED)}'
        return self.task.family if self.task.amount is None else QUANTITY


def load_suite(path: Path, through_nodes: bool = False) -> list[Episode]:
    """Read and check a suite.

    Args:
        path: A YAML file.
        through_nodes: Whether it is for the node graph, whose camera is its own and can neither
            break nor be impaired.

    Raises:
        UserError: It is missing, is no such list, or an episode is wrong; the message says which.
    """
    document = read_yaml(path, 'Suite', 'Give the path of a YAML file, such as '
                         'config/suites/demo.yaml.', MAX_BYTES)
    if not isinstance(document, list) or not document:
        raise UserError(f'Suite {path} must be a list of episodes, each a mapping with id, '
                        'instruction, task and seed.')
    episodes: dict[str, Episode] = {}
    for number, entry in enumerate(document, start=1):
        try:
            episode = _episode(entry)
            if episode.id in episodes:
                raise UserError('its id is used twice')
        except UserError as error:
            name = f' ({entry["id"]})' if isinstance(entry, dict) and 'id' in entry else ''
            raise UserError(f'Suite {path}, episode {number}{name}: {error}') from None
        episodes[episode.id] = episode
    if through_nodes and any(e.camera or e.view or e.picture for e in episodes.values()):
        raise UserError(f'Suite {path} has cameras that break, a view that is impaired or '
                        'pictures, which is for evaluation in process: use vla eval, and leave '
                        'out --ros.')
    return list(episodes.values())


def _episode(entry: Any) -> Episode:
    if not isinstance(entry, dict):
        raise UserError('must be a mapping with id, instruction, task and seed.')
    missing = [key for key in ('id', 'instruction', 'task', 'seed') if key not in entry]
    if missing:
        raise UserError(f'lacks {", ".join(missing)}.')
    task = Task.from_mapping(entry)
    _refuse_unknown(entry)
    identity, instruction, seed = entry['id'], entry['instruction'], entry['seed']
    if isinstance(identity, bool) or not isinstance(identity, (str, int)) or identity == '':
        raise UserError(f'id must be text or a whole number, got {identity!r}.')
    if not isinstance(instruction, str):
        raise UserError(f'instruction must be text, got {instruction!r}.')
    parsed = check_command(instruction)
    if isinstance(parsed, Rejection):
        raise UserError(f'instruction is refused: {parsed.reason}.')
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise UserError(f'seed must be a whole number, 0 or more, got {seed!r}.')
    setting = Setting.from_mapping(entry.get('scene', {}), task)
    if task.steps or task.amount is not None or task.twins or setting != PLAIN:
        # Says where no scene has room for it.
        sample_layout(scene_rng(seed), task, setting=setting)
    return Episode(str(identity), instruction, task, seed, _camera(entry, task),
                   _view(entry, task), _picture(entry, task), _kind(entry), _answer(entry, task),
                   _counted_as(entry, task), setting)


def _answer(entry: Mapping[str, Any], task: Task) -> str | None:
    if (answer := entry.get('answer')) is None:
        return None
    if task.family == OUT_OF_SCOPE or not isinstance(answer, str) \
            or isinstance(check_command(answer), Rejection):
        raise UserError(f'answer must be a command that answers a question, of an episode that is '
                        f'to be done; got {answer!r}.')
    return answer


def _counted_as(entry: Mapping[str, Any], task: Task) -> str | None:
    family = _one_of(entry, 'counted_as', SIGHT_FAMILIES)
    if family is None:
        return None
    if not any(part.family in OBJECT_FAMILIES for part in task.parts) \
            or any(key in entry for key in ('camera', 'view', 'picture')):
        raise UserError(f'{family} is for a task with an object, and a camera that shows it as it '
                        'is.')
    if (family == AMBIGUOUS) is not ('answer' in entry):
        raise UserError(f'an {AMBIGUOUS} episode has an answer, and no other one that is '
                        'counted_as has.')
    return family


def _camera(entry: Mapping[str, Any], task: Task) -> str | None:
    kind = _one_of(entry, 'camera', camera_faults.KINDS)
    if kind is not None and not _needs_to_see(task):
        raise UserError(f'a {task.family} episode needs no camera that could break.')
    return kind


def _view(entry: Mapping[str, Any], task: Task) -> str | None:
    kind = _one_of(entry, 'view', impaired_view.KINDS)
    if kind is not None and ('camera' in entry or not _needs_to_see(task)):
        raise UserError('a view is impaired only where the task needs to see, and the camera does '
                        'not break.')
    return kind


def _picture(entry: Mapping[str, Any], task: Task) -> str | None:
    if 'picture' not in entry:
        return None
    if 'camera' in entry or 'view' in entry or not _needs_to_see(task):
        raise UserError('a picture is shown only where the task needs to see, and nothing else is '
                        'wrong with the camera.')
    pictures.read_picture(str(entry['picture']))  # says what is wrong with it
    return str(entry['picture'])


def _kind(entry: Mapping[str, Any]) -> str | None:
    if 'kind' not in entry:
        return None
    kind = entry['kind']
    if not isinstance(kind, str) or not re.fullmatch('[a-z][a-z0-9_]*', kind):
        raise UserError('kind must be a name of small letters, digits and _, such as negation; '
                        f'got {kind!r}.')
    return kind


def _one_of(entry: Mapping[str, Any], key: str, kinds: Sequence[str]) -> str | None:
    if key not in entry:
        return None
    if entry[key] not in kinds:
        raise UserError(f'{key} must be one of {", ".join(kinds)}, got {entry[key]!r}.')
    return str(entry[key])


def _needs_to_see(task: Task) -> bool:
    return bool(task.steps) or (task.family in FAMILIES and task.family != 'stop')


def _refuse_unknown(entry: Mapping[str, Any]) -> None:
    family = str(entry['task'])
    known = (*_COMMON, *_ARGUMENTS[family],
             *(('kind',) if {'counted_as', 'scene'} & set(entry) else ()))
    unknown = [str(key) for key in entry if key not in known]
    if unknown:
        raise UserError(f'unknown key {", ".join(unknown)}; a {family} episode has '
                        f'{", ".join(known)}.')
