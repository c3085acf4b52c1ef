"""What a model was trained for; `config.json` of a checkpoint holds it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vla_humanoid_control.interfaces import (
    ELAPSED,
    JOINTS,
    TRAVELLED,
    ActionGroup,
    ActionKind,
    ActionSpace,
    ImageFeature,
    PolicySpec,
    StateFeature,
)
from vla_humanoid_control.types import BASE_CHANNELS

if TYPE_CHECKING:
    from vla_humanoid_control.models.streams import Space


@dataclass(frozen=True)
class ModelSpec:
    """What a model looks at, and what it gives.

    Attributes:
        cameras: Names of the cameras that it looks through.
        image_size: Width and height of its images [px].
        joint_names: The joints that it is told of, in order.
        channels: Names of the D action channels that it gives: of the base, then joints.
        horizon: Rows in a chunk, H.
        dt_s: Time between two rows, and between two frames of a history [s].
        frames: How many images it looks at, the last `frames` of them, T.
        effector: The site of the hand whose motions its first six channels are, each from the row
            before, and the last its gripper, 0 closed to 1 open; '' where channels are as above.
    """

    cameras: tuple[str, ...]
    image_size: tuple[int, int]
    joint_names: tuple[str, ...]
    channels: tuple[str, ...]
    horizon: int
    dt_s: float
    frames: int = 1
    effector: str = ''

    @property
    def space(self) -> Space:
        """As the parts of a model are told."""
        # Imported when needed: what a checkpoint was trained for is known without torch.
        from vla_humanoid_control.models.streams import Space
        return Space(dict.fromkeys(self.cameras, self.image_size), len(self.joint_names),
                     len(self.channels), self.horizon, self.frames)


def policy_spec(model: ModelSpec, signals: Iterable[str]) -> PolicySpec:
    """What a model needs and gives, as a policy says it; with the names of its signals."""
    times_s = tuple(-model.dt_s * i for i in reversed(range(model.frames)))
    return PolicySpec(
        tuple(ImageFeature(camera, model.image_size, times_s=times_s)
              for camera in model.cameras),
        (StateFeature(JOINTS, model.joint_names), StateFeature(TRAVELLED, ('x', 'y', 'yaw')),
         StateFeature(ELAPSED, ('seconds',))),
        ActionSpace(_groups(model), model.horizon, model.dt_s),
        rate_hz=1.0 / model.dt_s, gives=frozenset(signals))


def _groups(model: ModelSpec) -> tuple[ActionGroup, ...]:
    if model.effector:
        return (ActionGroup('hand', ActionKind.EE_DELTA, model.channels[:-1], 'previous_row',
                            model.effector),
                ActionGroup('gripper', ActionKind.GRIPPER, model.channels[-1:]))
    base = tuple(c for c in model.channels if c in BASE_CHANNELS)
    joints = tuple(c for c in model.channels if c not in BASE_CHANNELS)
    return tuple(ActionGroup(name, kind, channels) for name, kind, channels in (
        ('base', ActionKind.BASE_TWIST, base), (JOINTS, ActionKind.JOINT_POSITION, joints))
        if channels)
