"""Which topics of a robot's SDK take what the graph commands, and give what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_humanoid_control.robot.fields import Fields
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.resources import config_path, read_yaml

MOTORS = 35
"""Motors in a message of unitree_hg; a robot uses the first of them."""
_TOPICS = ('state', 'imu', 'odometry', 'walking', 'arms')
_WALKING = ('api_id', 'rate_hz')
_ARMS = ('weight_motor', 'ramp_s', 'kp', 'kd', 'held')


@dataclass(frozen=True)
class SdkTopics:
    """DDS topics of the robot, each with its type of message.

    Attributes:
        state: unitree_hg LowState.
        imu: unitree_hg IMUState.
        odometry: unitree_go SportModeState.
        walking: unitree_api Request.
        arms: unitree_hg LowCmd.
    """

    state: str
    imu: str
    odometry: str
    walking: str
    arms: str


@dataclass(frozen=True)
class ArmSettings:
    """How arm targets are handed over.

    Attributes:
        weight_motor: Whose position is the weight of the targets, 0 to 1.
        ramp_s: Time from no weight to the whole, and back [s].
        kp: Position gain of each commanded motor [Nm/rad].
        kd: Velocity gain of each commanded motor [Nm s/rad].
        held: Joints that are commanded to stay where they are.
    """

    weight_motor: int
    ramp_s: float
    kp: float
    kd: float
    held: tuple[str, ...]


@dataclass(frozen=True)
class SdkFile:
    """One file of `config/embodiments/sdk/`.

    Attributes:
        topics: The robot's topics.
        velocity_api_id: Number of the call that takes a velocity.
        walking_rate_hz: How often it is called [Hz].
        arms: How arm targets are handed over.
        motors: Joint of each motor, from motor 0; at most `MOTORS`.
    """

    topics: SdkTopics
    velocity_api_id: int
    walking_rate_hz: float
    arms: ArmSettings
    motors: tuple[str, ...]


def load_sdk_file(name_or_path: str, robot: RobotSpec) -> SdkFile:
    """Read which topics of the SDK reach a robot.

    Args:
        name_or_path: A name in `config/embodiments/sdk/`, or the path of a YAML file.
        robot: The robot, all of whose joints must have a motor.

    Raises:
        UserError: It is missing, or says something that makes no sense; says where.
    """
    path = Path(name_or_path)
    if path.suffix not in ('.yaml', '.yml'):
        path = config_path('embodiments', 'sdk', f'{name_or_path}.yaml')
    fields = Fields(str(path), 'SDK file')
    root = fields.mapping(read_yaml(path, 'SDK file', 'Give a name in config/embodiments/sdk/ or '
                                    'the path of a YAML file.'),
                          'it', ('topics', 'walking', 'arms', 'motors'))
    topics = fields.mapping(fields.get(root, 'topics', ''), 'topics', _TOPICS)
    walking = fields.mapping(fields.get(root, 'walking', ''), 'walking', _WALKING)
    sdk = SdkFile(SdkTopics(*(fields.text(topics, name, 'topics') for name in _TOPICS)),
                  round(fields.positive(walking, 'api_id', 'walking')),
                  fields.positive(walking, 'rate_hz', 'walking'),
                  _arms(fields, root), fields.texts(root, 'motors', ''))
    _check(fields, sdk, robot)
    return sdk


def _arms(fields: Fields, root: object) -> ArmSettings:
    arms = fields.mapping(fields.get(fields.mapping(root, 'it'), 'arms', ''), 'arms', _ARMS)
    return ArmSettings(round(fields.positive(arms, 'weight_motor', 'arms')),
                       fields.positive(arms, 'ramp_s', 'arms'),
                       fields.positive(arms, 'kp', 'arms'), fields.positive(arms, 'kd', 'arms'),
                       fields.texts(arms, 'held', 'arms'))


def _check(fields: Fields, sdk: SdkFile, robot: RobotSpec) -> None:
    if len(sdk.motors) > MOTORS or len(set(sdk.motors)) != len(sdk.motors):
        fields.fail('motors', f'must be at most {MOTORS} joints, each named once')
    if missing := [name for name in robot.joint_names if name not in sdk.motors]:
        fields.fail('motors', f'lacks joints of {robot.name}: {", ".join(missing)}')
    unknown = [name for name in (*sdk.motors, *sdk.arms.held) if name not in robot.joint_names]
    if unknown:
        fields.fail('motors or arms.held', f'names joints that {robot.name} does not have: '
                    f'{", ".join(unknown)}')
    if not len(sdk.motors) <= sdk.arms.weight_motor < MOTORS:
        fields.fail('arms.weight_motor', f'must be a motor that there is not, from '
                    f'{len(sdk.motors)} to {MOTORS - 1}')
    if both := sorted({j.name for j in robot.controlled} & set(sdk.arms.held)):
        fields.fail('arms.held', f'names joints that policies command: {", ".join(both)}')
