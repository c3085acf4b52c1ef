"""The world for Gazebo holds the scene that the built-in simulator has.

`vla robot gazebo --out config/gazebo` writes what is shipped.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import mujoco
import numpy as np
import pytest
import yaml
from g1 import needs_g1
from libsdformat import check

from vla_humanoid_control.cli.main import main
from vla_humanoid_control.cli.robot import DEMO_SEED, DEMO_TASK
from vla_humanoid_control.robot.gazebo_bridge import OBJECT_POSES, bridge_yaml
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.sdf import FLOOR_BITS, OBJECT_BITS, ROBOT_BITS
from vla_humanoid_control.simulation import scene
from vla_humanoid_control.simulation.gazebo import GazeboWorld, gazebo_world
from vla_humanoid_control.simulation.mirror import object_name
from vla_humanoid_control.simulation.settings import Setting
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.geometry import mount_pose
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')
SCENES = [(5, 'go_to:red:box'), (1, 'reach:blue:cup'), (2, None), (3, 'go_to:yellow:cone')]
_NUMBER = re.compile(r'-?\d+(?:\.\d+)?(?:e-?\d+)?')


@pytest.fixture(scope='module', params=SCENES, ids=str)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[World, GazeboWorld]]:
    """A scene in the simulator and its world for Gazebo."""
    seed, key = request.param
    task = Task.from_key(key) if key else None
    world = World(ROBOT)
    world.reset(seed, task)
    yield world, gazebo_world(world)
    world.close()


def models(text: str) -> dict[str, Element]:
    return {e.get('name'): e for e in ElementTree.fromstring(text.encode()).iter('model')}


def read(element: Element, path: str) -> np.ndarray:
    return np.array([float(part) for part in element.findtext(path).split()])


def test_what_is_shipped_is_what_is_written(tmp_path: Path) -> None:
    """To the accuracy that other processors and versions of MuJoCo give."""
    assert main(['robot', 'gazebo', '--out', str(tmp_path)]) == 0
    shipped = config_path('gazebo')
    assert {p.relative_to(tmp_path) for p in tmp_path.rglob('*')} \
        == {p.relative_to(shipped) for p in shipped.rglob('*')}
    new, old = ((folder / 'world.sdf').read_text(encoding='utf-8')
                for folder in (tmp_path, shipped))
    assert _NUMBER.sub('#', new) == _NUMBER.sub('#', old)
    np.testing.assert_allclose([float(n) for n in _NUMBER.findall(new)],
                               [float(n) for n in _NUMBER.findall(old)], atol=1e-6)
    names = [n for n in models(new) if re.fullmatch(r'[a-z]+_[a-z]+_\d', n)
             and n.split('_')[0] not in ('wall', 'table')]
    assert names and (shipped / 'bridge.yaml').read_text(encoding='utf-8') \
        == bridge_yaml(ROBOT, names)


def test_each_object_says_where_it_is_and_the_bridge_carries_that(
        pair: tuple[World, GazeboWorld]) -> None:
    world, written = pair
    found = models(written.sdf)
    carried = {t['gz_topic_name']: t for t in yaml.safe_load(written.bridge)}
    for placed in world.objects:
        name = object_name(placed)
        (plugin,) = found[name].findall('plugin')
        assert plugin.get('name') == 'gz::sim::systems::PosePublisher'
        assert carried[f'/model/{name}/pose']['ros_topic_name'] == OBJECT_POSES


def test_what_makes_a_scene_harder_is_there_too() -> None:
    with closing(World(ROBOT)) as world:
        world.reset(3, Task.from_key('move:forward'), setting=Setting('divided', 2))
        written = gazebo_world(world)
    kinds = [name.split('_')[0] for name in models(written.sdf)]
    assert kinds.count('obstacle') == 2 and 'panel' in kinds


def test_the_shipped_scene_is_that_of_the_demo() -> None:
    demo = yaml.safe_load(config_path('params', 'demo.yaml').read_text(encoding='utf-8'))
    parameters = demo['/**/humanoid_sim']['ros__parameters']
    assert (parameters['scene_seed'], parameters['scene_task']) == (DEMO_SEED, DEMO_TASK)


def test_every_object_is_where_it_stands_with_its_colour_and_mass(
        pair: tuple[World, GazeboWorld]) -> None:
    world, written = pair
    found, poses = models(written.sdf), world.object_poses()
    assert len(world.objects) > 0
    names = {f'{p.colour}_{p.shape}_{p.slot}' for p in world.objects}
    assert set(found) == {ROBOT.name, 'floor', 'table_0', 'table_1',
                          *(f'wall_{i}' for i in range(4)), *names}
    for placed, pose in zip(world.objects, poses):
        model = found[f'{placed.colour}_{placed.shape}_{placed.slot}']
        np.testing.assert_allclose(read(model, 'pose')[:3], pose[:3], atol=1e-9)
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, pose[3:])
        np.testing.assert_allclose(mount_pose(read(model, 'pose'))[:3, :3], turn.reshape(3, 3),
                                   atol=1e-9)
        body = world.model.body(f'object_{placed.slot}')
        assert read(model, 'link/inertial/mass') == pytest.approx(body.mass[0])
        rgb = world.model.geom(f'object_{placed.slot}_{placed.shape}').rgba[:3]
        np.testing.assert_allclose(read(model, 'link/visual/material/diffuse')[:3], rgb,
                                   atol=1e-3)
        assert model.find('static') is None
        assert len(model.findall('link/collision')) == 1


def test_sizes_are_those_of_the_objects(pair: tuple[World, GazeboWorld]) -> None:
    world, written = pair
    found = models(written.sdf)
    for placed in world.objects:
        geometry = found[f'{placed.colour}_{placed.shape}_{placed.slot}'].find(
            'link/collision/geometry')
        if placed.shape == 'box':
            assert read(geometry, 'box/size')[2] == pytest.approx(placed.size.height)
        elif placed.shape == 'ball':
            assert read(geometry, 'sphere/radius') == pytest.approx(placed.size.radius)
        else:
            content = written.meshes[Path(geometry.findtext('mesh/uri')).name]
            corners = np.frombuffer(content[84:], np.dtype(
                [('f', '<f4', (4, 3)), ('_', 'u2')]))['f'][:, 1:].reshape(-1, 3)
            # In the frame that the file's own collision pose puts it in.
            part = found[f'{placed.colour}_{placed.shape}_{placed.slot}'].find('link/collision')
            frame = mount_pose(read(part, 'pose'))
            corners = corners @ frame[:3, :3].T + frame[:3, 3]
            assert np.ptp(corners[:, 2]) == pytest.approx(placed.size.height, abs=1e-6)
            assert np.hypot(*corners[:, :2].T).max() == pytest.approx(placed.size.radius,
                                                                      abs=1e-6)


def test_the_room_is_that_of_the_simulator(pair: tuple[World, GazeboWorld]) -> None:
    world, written = pair
    found = models(written.sdf)
    for index, (x, y, yaw) in enumerate(world.layout.tables):
        table = found[f'table_{index}']
        np.testing.assert_allclose(read(table, 'pose')[:3], (x, y, 0), atol=1e-9)
        assert math.remainder(read(table, 'pose')[5] - yaw, 2 * math.pi) \
            == pytest.approx(0, abs=1e-9)
        top = table.find('link/collision')
        assert read(top, 'pose')[2] + read(top, 'geometry/box/size')[2] / 2 \
            == pytest.approx(scene.TABLE_HEIGHT_M)
        assert table.findtext('static') == 'true'
    for index in range(4):
        wall = world.model.geom(f'wall_{index}')
        np.testing.assert_allclose(read(found[f'wall_{index}'], 'pose')[:3], wall.pos, atol=1e-9)
        np.testing.assert_allclose(
            read(found[f'wall_{index}'], 'link/collision/geometry/box/size'), 2 * wall.size)
    x, y, yaw = world.layout.base_pose
    np.testing.assert_allclose(read(found[ROBOT.name], 'pose')[:3], (x, y, 0), atol=1e-9)
    assert math.remainder(read(found[ROBOT.name], 'pose')[5] - yaw, 2 * math.pi) \
        == pytest.approx(0, abs=1e-9)


def test_objects_rest_on_floor_and_tables_and_the_robot_hovers(
        pair: tuple[World, GazeboWorld]) -> None:
    _, written = pair
    bits = {name: {int(e.text) for e in model.iter('collide_bitmask')}
            for name, model in models(written.sdf).items()}
    assert bits.pop('floor') == {FLOOR_BITS} and bits.pop(ROBOT.name) == {ROBOT_BITS}
    for name, own in bits.items():
        assert own == ({ROBOT_BITS} if name.startswith(('wall_', 'table_')) else {OBJECT_BITS})


def test_the_parser_of_gazebo_takes_it(pair: tuple[World, GazeboWorld], tmp_path: Path) -> None:
    path = tmp_path / 'world.sdf'
    path.write_text(pair[1].sdf, encoding='utf-8')
    assert check(path) == ''


def test_every_mesh_that_a_world_names_is_beside_it(pair: tuple[World, GazeboWorld]) -> None:
    uris = {e.text for e in ElementTree.fromstring(pair[1].sdf.encode()).iter('uri')}
    assert uris == {f'meshes/{name}' for name in pair[1].meshes}


def test_systems_have_names_that_fortress_and_harmonic_know(pair: tuple[World, GazeboWorld]
                                                            ) -> None:
    plugins = {(e.get('filename'), e.get('name'))
               for e in ElementTree.fromstring(pair[1].sdf.encode()).iter('plugin')}
    words = {name.removeprefix('gz::sim::systems::'): file for file, name in plugins}
    assert set(words) == {'Physics', 'UserCommands', 'SceneBroadcaster', 'Sensors', 'Imu',
                          'VelocityControl', 'OdometryPublisher', 'JointStatePublisher',
                          'JointTrajectoryController', 'PosePublisher'}
    for name, file in words.items():
        dashed = re.sub(r'(?<=[a-z])(?=[A-Z])', '-', name).lower()
        assert file == f'gz-sim-{dashed}-system'


@pytest.mark.parametrize('arguments', [[], ['--out', 'x', '--task', 'fly'],
                                       ['--out', 'x', '--robot', 'nobody']])
def test_bad_input_of_the_command_writes_nothing(arguments: list[str], tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(['robot', 'gazebo', *arguments]) == 2
    assert not list(tmp_path.iterdir())


@needs_g1
def test_a_robot_on_legs_hangs_above_its_place(tmp_path: Path) -> None:
    assert main(['robot', 'gazebo', '--robot', 'unitree_g1', '--seed', '3', '--task',
                 'move:forward', '--out', str(tmp_path)]) == 0
    file, robot = tmp_path / 'world.sdf', load_robot('unitree_g1')
    found = models(file.read_text(encoding='utf-8'))
    with closing(World(robot)) as world:
        world.reset(3, Task.from_key('move:forward'))
        x, y, yaw = world.base_pose()
        pelvis = world.model.body('pelvis').id
        stands = float(world.data.xpos[pelvis][2])
    place = read(found[robot.name], 'pose')
    np.testing.assert_allclose(place[[0, 1, 5]], (x, y, yaw), atol=1e-6)
    link = next(e for e in found[robot.name].iter('link') if e.get('name') == 'pelvis')
    assert 0.02 < place[2] + read(link, 'pose')[2] - stands < 0.1
    assert f'{robot.name}_crane' in found
    assert not check(file)
