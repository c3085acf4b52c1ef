"""Parameters of `humanoid_sim`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vla_humanoid_control.ros.joint_commands import JOINT_STATE, JointCommandForm, command_form
from vla_humanoid_control.simulation.rooms import SQUARE
from vla_humanoid_control.simulation.settings import MOST_OBSTACLES, Setting
from vla_humanoid_control.support.bounds import bounded, check_bounds, fixed
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.task import MAX_DISTRACTORS, MAX_TWINS, Task
from vla_humanoid_control.tasks.vocabulary import OBJECT_FAMILIES


@dataclass(frozen=True)
class SimulatorParameters:
    """Parameters of `humanoid_sim`.

    Attributes:
        robot: Name of a robot file in config/robots/, or its path.
        camera_width: Width of the images [px].
        camera_height: Height of the images [px].
        camera_rate_hz: Images per second [Hz].
        outside_rate_hz: Images per second of a view from outside, for people; 0 for none [Hz].
        stamped_twist: Whether /cmd_vel is a TwistStamped.
        joint_command_type: What /joint_commands is: joint_state, array or trajectory, as in
            `safety_monitor`; give it to both, below `/**`.
        array_commands: Former name of `joint_command_type` array; goes with the next release.
        scene_seed: Decides everything about the scene that the start and the reset service set up.
        scene_task: What can be done in it, such as go_to:red:box; empty for any scene.
        scene_distractors: How many other objects are where that task's object is; -1 leaves it to
            the seed.
        scene_twins: How many further objects have the colour and shape of that task's object;
            says nothing where it has none.
        scene_room: Name of the room: square, long, divided or corner.
        scene_obstacles: How many things stand there that no words name, see docs/evaluation.md.
        scene_target: How the object of a go_to is hard to see: behind, half_hidden; empty for
            not.
    """

    robot: str = fixed('humanoid')
    camera_width: int = bounded(640, 16, 4096, at_start=True)
    camera_height: int = bounded(480, 16, 4096, at_start=True)
    camera_rate_hz: float = bounded(30.0, 0.5, 120.0, at_start=True)
    outside_rate_hz: float = bounded(0.0, 0.0, 120.0, at_start=True)
    stamped_twist: bool = fixed(False)
    joint_command_type: str = fixed(JOINT_STATE)
    array_commands: bool = fixed(False)
    scene_seed: int = bounded(0, 0, 2 ** 53)
    scene_task: str = ''
    scene_distractors: int = bounded(-1, -1, MAX_DISTRACTORS)
    scene_twins: int = bounded(0, 0, MAX_TWINS)
    scene_room: str = SQUARE
    scene_obstacles: int = bounded(0, 0, MOST_OBSTACLES)
    scene_target: str = ''

    def __post_init__(self) -> None:
        check_bounds(self)
        self.joint_commands()
        try:
            self.task()
        except UserError as error:
            raise UserError(f'scene_task: {error}') from error
        try:
            self.setting()
        except UserError as error:
            raise UserError(f'scene_{error}') from error

    def joint_commands(self) -> JointCommandForm:
        """The form of /joint_commands."""
        return command_form(self.joint_command_type, self.array_commands)

    def task(self) -> Task | None:
        """What can be done in the scene; None for any scene.

        Raises:
            UserError: `scene_task` is no task; says what is known.
        """
        if not self.scene_task:
            return None
        task = Task.from_key(self.scene_task)
        if self.scene_distractors >= 0:
            task = replace(task, distractors=self.scene_distractors)
        if task.family not in OBJECT_FAMILIES or task.amount is not None:
            return task
        return replace(task, twins=max(task.twins, self.scene_twins))

    def setting(self) -> Setting:
        """What makes the scene harder; says nothing of it where the task can have no such."""
        return Setting(self.scene_room, self.scene_obstacles, self.scene_target).of(self.task())
