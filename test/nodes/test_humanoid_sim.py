"""The simulator's parameters, and the scene that it is shipped with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip('rclpy')
pytest.importorskip('mujoco')

from vla_humanoid_control.nodes.simulator_parameters import SimulatorParameters
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.settings import PLAIN, Setting
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

pytestmark = pytest.mark.ros
ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_scene_has_what_the_readme_asks_for() -> None:
    """Regression: there was no red box in it for 'go to the red box', README's first command."""
    shipped = yaml.safe_load((ROOT / 'config' / 'params' / 'demo.yaml').read_text())
    parameters = SimulatorParameters(**shipped['/**/humanoid_sim']['ros__parameters'])
    world = World(load_robot('humanoid'))
    world.reset(parameters.scene_seed, parameters.task())
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    robot = readme.partition('## On a robot')[2].partition('\n## ')[0]
    named = re.findall(f'({"|".join(COLOURS)}) ({"|".join(SHAPES)})', robot)
    assert named
    for colour, shape in named:
        assert world.sees(world.find(colour, shape))


def test_a_scene_is_a_number_and_a_task() -> None:
    """Regression: it was JSON inside a parameter, to be quoted twice."""
    assert SimulatorParameters().task() is None
    assert SimulatorParameters(scene_task='go_to:red:box').task() == Task('go_to', ('red', 'box'))
    few = SimulatorParameters(scene_task='reach:blue:cup', scene_distractors=2)
    assert few.task() == Task('reach', ('blue', 'cup'), 2)


@pytest.mark.parametrize(('task', 'twins', 'expected'), [
    ('go_to:red:box', 2, Task('go_to', ('red', 'box'), twins=2)),
    ('go_to:red:box@left', 0, Task('go_to', ('red', 'box'), twins=1, which='left')),
    ('go_to:red:box@left', 2, Task('go_to', ('red', 'box'), twins=2, which='left')),
    ('gesture:wave', 2, Task('gesture', ('wave',)))])
def test_a_scene_has_twins_of_what_its_task_is_about(task: str, twins: int,
                                                     expected: Task) -> None:
    """Regression: no scene of the node had two objects of one colour and shape."""
    assert SimulatorParameters(scene_task=task, scene_twins=twins).task() == expected


def test_twins_are_in_the_scene() -> None:
    world = World(load_robot('humanoid'))
    world.reset(3, SimulatorParameters(scene_task='go_to:red:box', scene_twins=2).task())
    assert [(p.colour, p.shape) for p in world.layout.objects].count(('red', 'box')) == 3


def test_a_harder_scene_is_that_of_its_task() -> None:
    hard = {'scene_room': 'long', 'scene_obstacles': 2, 'scene_target': 'behind'}
    assert SimulatorParameters(**hard).setting() == Setting('long', 2)
    near = SimulatorParameters(**hard, scene_task='go_to:red:box')
    assert near.setting() == Setting('long', 2, 'behind')
    assert SimulatorParameters(**hard, scene_task='move:left').setting() == Setting('long', 2)
    assert SimulatorParameters(**hard, scene_task='turn:left+gesture:wave').setting() == PLAIN


def test_the_form_of_joint_commands_is_one_that_there_is() -> None:
    with pytest.raises(ValueError, match='joint_command_type'):
        SimulatorParameters(joint_command_type='trajectories')


@pytest.mark.parametrize(('scene', 'words'), [
    ({'scene_task': 'go_to:red:car'}, 'scene_task.*shape.*box'),
    ({'scene_task': 'fly'}, 'scene_task.*fly'), ({'scene_seed': -1}, 'scene_seed'),
    ({'scene_distractors': 99}, 'scene_distractors'), ({'scene_twins': 9}, 'scene_twins'),
    ({'scene_room': 'cellar'}, 'scene_room.*corner'), ({'scene_obstacles': 9}, 'scene_obstacles'),
    ({'scene_target': 'gone'}, 'scene_target.*behind')])
def test_a_scene_that_makes_no_sense_is_refused(scene: dict[str, object], words: str) -> None:
    with pytest.raises((UserError, ValueError), match=words):
        SimulatorParameters(**scene)
