"""The robot's model in MuJoCo: read from where the robot file says, with what that adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vla_humanoid_control.robot.meshes import lighten
from vla_humanoid_control.robot.packages import located
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.geometry import mount_pose

if TYPE_CHECKING:
    import mujoco


def model_spec(robot: RobotSpec) -> mujoco.MjSpec:
    """The robot's model, not compiled yet: with light meshes, and what it may lack.

    That is grasp points, and torque limits of joints of which only a motor says them.

    Raises:
        UserError: The robot file names no model, the file is missing or is no MJCF, or MuJoCo is
            not installed.
    """
    try:
        import mujoco
    except ImportError as error:
        raise UserError(f'Robot {robot.name} has a model ({robot.mjcf}), and using it needs '
                        'MuJoCo: pip install mujoco.') from error
    if robot.mjcf is None:
        raise UserError(f'Robot {robot.name} has no model (mjcf) in its robot file.')
    path = located(robot.mjcf)
    try:
        spec = mujoco.MjSpec.from_file(str(path))
    except ValueError as error:
        raise UserError(f'Robot {robot.name}: {path} is no valid MJCF: {error}') from error
    if robot.simulation is not None and robot.simulation.mesh_share < 1:
        lighten(spec, path.parent / spec.meshdir, robot.simulation.mesh_share)
    _keep_torques(spec)
    for hand in robot.end_effectors.values():
        if hand.body:
            _body(spec, robot, hand.body).add_site(name=hand.site, pos=hand.at)
    return spec


def _keep_torques(spec: mujoco.MjSpec) -> None:
    """Where only a motor says what torque there is, its joint says so from now on."""
    import mujoco
    for actuator in spec.actuators:
        joint = spec.joint(actuator.target)
        is_motor = actuator.gaintype == mujoco.mjtGain.mjGAIN_FIXED \
            and actuator.biastype == mujoco.mjtBias.mjBIAS_NONE and np.ptp(actuator.ctrlrange) > 0
        if joint is not None and is_motor and not np.any(joint.actfrcrange):
            most = np.sort(actuator.ctrlrange * actuator.gear[0] * actuator.gainprm[0])
            joint.actfrcrange, joint.actfrclimited = most, mujoco.mjtLimited.mjLIMITED_TRUE


def load_model(robot: RobotSpec) -> mujoco.MjModel:
    """The robot's model alone, compiled. Raises UserError as `model_spec` does."""
    return model_spec(robot).compile()


def add_camera(spec: mujoco.MjSpec, robot: RobotSpec, name: str) -> None:
    """Put a camera of the robot file where its mount says; one without optics is the model's own.

    Raises:
        UserError: The model has no such body.
    """
    if (optics := robot.cameras[name].optics) is None:
        return
    turn = mount_pose(optics.mount)[:3, :3]
    # A camera looks along its own -z, with +y up: to the right is -y of its mount, up is +z.
    _body(spec, robot, optics.body).add_camera(
        name=name, pos=optics.mount[:3], fovy=optics.fovy_deg,
        xyaxes=(*-turn[:, 1], *turn[:, 2]))


def _body(spec: mujoco.MjSpec, robot: RobotSpec, name: str) -> mujoco.MjsBody:
    body = spec.body(name)
    if body is None:
        raise UserError(f'Robot file {robot.file or robot.name}: its model has no body {name}.')
    return body
