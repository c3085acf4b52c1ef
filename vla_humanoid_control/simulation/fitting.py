"""Fits a robot's own model into the room: what it looks with, what it feels, what it touches."""

from __future__ import annotations

import mujoco

from vla_humanoid_control.robot.anatomy import SimulationSpec
from vla_humanoid_control.robot.model import add_camera
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError

EYE = 'head'
"""The camera that policies look with."""
WORLD_GROUP, ROBOT_GROUP, OBJECT_GROUP, HIDDEN_GROUP = 0, 1, 2, 5
"""Geoms of the room; of the robot, which its own rays leave out; of objects; that nobody sees."""
TIMESTEP_S = 0.005

_IMU = {'imu_orientation': mujoco.mjtSensor.mjSENS_FRAMEQUAT,
        'imu_gyro': mujoco.mjtSensor.mjSENS_GYRO,
        'imu_accelerometer': mujoco.mjtSensor.mjSENS_ACCELEROMETER}


def prepare(spec: mujoco.MjSpec, robot: RobotSpec, simulation: SimulationSpec) -> None:
    """Add cameras and the IMU, and make a legged robot one that stands in the room.

    Raises:
        UserError: The robot's model lacks a body or site that the robot file names.
    """
    where = f'Robot file {robot.file or robot.name}'
    if spec.body(simulation.trunk) is None:
        raise UserError(f'{where}: its model has no body {simulation.trunk}.')
    if simulation.imu not in [site.name for site in spec.sites]:
        raise UserError(f'{where}: its model has no site {simulation.imu}.')
    for name in robot.cameras:
        add_camera(spec, robot, name)
    if robot.walks:
        _stand(spec)
    for name, kind in _IMU.items():
        spec.add_sensor(name=name, type=kind, objtype=mujoco.mjtObj.mjOBJ_SITE,
                        objname=simulation.imu)


def _stand(spec: mujoco.MjSpec) -> None:
    """Leave of a manufacturer's model the robot alone, in the groups and contacts of the room."""
    for thing in (*spec.actuators, *spec.keys, *spec.sensors, *spec.lights):
        spec.delete(thing)
    for geom in spec.geoms:
        solid = bool(geom.contype or geom.conaffinity)
        geom.group = HIDDEN_GROUP if solid else ROBOT_GROUP
        if solid:  # 2 is the floor
            geom.contype, geom.conaffinity = 1, 3
    spec.option.timestep = TIMESTEP_S
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # With the usual cone its feet creep, and it turns by half a radian while it stands for 20 s.
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 20
    spec.visual.map.znear, spec.visual.map.zfar = 0.02, 40
