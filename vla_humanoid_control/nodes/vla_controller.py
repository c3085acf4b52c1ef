"""Node: sees, hears, and proposes what to do. Never talks to the robot itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CompressedImage, Image, JointState, LaserScan
from std_msgs.msg import String

from vla_humanoid_control.channels import encode_proposal, read_gated
from vla_humanoid_control.collection.recorded_policy import RecordedPolicy
from vla_humanoid_control.control.config import ControllerConfig, TaskConfig
from vla_humanoid_control.control.controller import Controller
from vla_humanoid_control.control.inference import InferenceWorker
from vla_humanoid_control.control.planning import PlanWorker
from vla_humanoid_control.data.rollouts import RolloutsFolder, RolloutsHeader
from vla_humanoid_control.interfaces import reading_problem
from vla_humanoid_control.language.intake import Instruction, Rejection
from vla_humanoid_control.perception.frames import FrameLimits
from vla_humanoid_control.perception.image_decoding import ImageError
from vla_humanoid_control.perception.seen import ObjectFinder
from vla_humanoid_control.perception.shipped_finder import shipped_finder
from vla_humanoid_control.policy.embodiment import FittedPolicy
from vla_humanoid_control.policy.registry import chosen_policy, fingerprint, load_policy
from vla_humanoid_control.policy.servers.planner import ServedPlanner
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.ros import messages, qos
from vla_humanoid_control.ros.cameras import subscribe_cameras
from vla_humanoid_control.ros.live_settings import LiveSettings
from vla_humanoid_control.ros.managed import LEVELS, WARN, Health, ManagedNode, run
from vla_humanoid_control.ros.parameters import Parameters
from vla_humanoid_control.ros.topics import type_problem
from vla_humanoid_control.state_text import read_safety
from vla_humanoid_control.support.bounds import bounded, fixed
from vla_humanoid_control.support.loop_timing import LoopTiming

CMD_VEL = 'cmd_vel'
SETTINGS = {'config': (ControllerConfig, ''), 'frames': (FrameLimits, 'frames.'),
            'task': (TaskConfig, 'task.')}


@dataclass(frozen=True)
class ControllerParameters:
    """Parameters of `vla_controller`.

    Attributes:
        robot: Name of a robot file in config/robots/, or its path.
        policy: Name of a policy, folder of a checkpoint, module:name, or address of a policy
            server; empty for the default one.
        embodiment: Mapping file of the policy, a name in config/embodiments/ or a path; empty
            where robot and policy call everything the same.
        trust: Folder of the policy's trust artifact, or the name of one in resource/trust/; empty
            for that which belongs to it.
        record: Folder to which what the policy sees and answers is written, for vla record and vla
            trust; empty for nowhere.
        compressed: Whether the cameras are read from their .../compressed topics.
        stamped_twist: Whether /cmd_vel is a TwistStamped.
    """

    robot: str = fixed('humanoid')
    policy: str = fixed('')
    embodiment: str = fixed('')
    trust: str = fixed('')
    record: str = fixed('')
    compressed: bool = fixed(False)
    stamped_twist: bool = fixed(False)


@dataclass(frozen=True)
class LanguageParameters:
    """Parameters of `vla_controller` below `language.`.

    Attributes:
        sees_objects: Whether it is looked which object words mean, as 'the box left of the cup',
            or of two red boxes 'the red box', which is asked about then. Otherwise words that say
            where an object is are held, and of two of a kind the policy takes any.
        planner: Address of a server that speaks OpenAI's chat completions protocol, such as
            http://localhost:11434/v1; it is asked what words mean that found no place. Empty for
            none: then such words are held.
        planner_model: Name of the model, as that server knows it.
        planner_timeout_s: How long it is waited for an answer [s].
    """

    sees_objects: bool = fixed(True)
    planner: str = fixed('')
    planner_model: str = fixed('')
    planner_timeout_s: float = bounded(10.0, 0.5, 25.0, at_start=True)


class VlaController(ManagedNode):
    """Runs a `Controller` on topics, with inference in a thread of its own.

    Subscribers: cameras, joint_states, odom and scan of the robot file; vla_command in plain
        English; vla/action_gated; cmd_vel, what the base was really told; safety/state.
    Publishers: vla/action_proposal, see `channels`; vla/task_state, see `state_text`;
        vla/question, what a person is asked, empty where nothing waits for an answer.
    Parameters: `ControllerParameters`, `ControllerConfig`, `FrameLimits` below `frames.`,
        `TaskConfig` below `task.`, `LanguageParameters` below `language.`.
    """

    controller: Controller  # there is one from `configure` on
    _planner: PlanWorker | None = None

    def __init__(self) -> None:
        super().__init__('vla_controller')
        self._chosen = Parameters(self, ControllerParameters)
        self._language = Parameters(self, LanguageParameters, prefix='language.')
        self._settings = LiveSettings(self, SETTINGS, {'config', 'frames'},
                                      lambda: getattr(self, 'controller', None))

    def configure(self) -> None:
        p = self._chosen.value
        robot = load_robot(p.robot)
        policy = load_policy(chosen_policy(p.policy, robot), robot, p.embodiment, p.trust)
        self.controller = Controller(policy.spec, robot, **self._settings.values,
                                     unreadable=reading_problem(policy),
                                     finder=self._finder(robot), planner_s=self._plan())
        self._recorded = self._record(policy, robot) if p.record else None
        self._joint_names = frozenset(j.name for j in robot.controlled)
        self._loop = LoopTiming(self.controller.period_s)
        self._announced = self._asked = ''
        self._doing: int | None = None
        self._proposals = self.advertise(JointState, 'vla/action_proposal', qos.STREAM)
        self._task_states = self.advertise(String, 'vla/task_state', qos.STATE)
        self._questions = self.advertise(String, 'vla/question', qos.STATE)
        subscribe_cameras(self, robot, policy.spec.cameras, p.compressed, self._on_image)
        self._hear(JointState, robot.sensors['joint_states'].topic, lambda msg, now:
                   self.controller.on_joints(messages.joints_from_msg(msg), now),
                   refuse=self.controller.refuse_joints)
        if 'odom' in robot.sensors:
            self._hear(Odometry, robot.sensors['odom'].topic, lambda msg, now:
                       self.controller.on_odometry(messages.odometry_from_msg(msg), now))
        if 'scan' in robot.sensors:
            self._hear(LaserScan, robot.sensors['scan'].topic, lambda msg, now:
                       self.controller.on_scan(messages.scan_from_msg(msg), now))
        self._hear(String, 'vla_command', self._on_command, qos.EVENT)
        self._hear(JointState, 'vla/action_gated', self._on_gated, qos.STREAM)
        self._hear(String, 'safety/state', self._on_safety_state, qos.STATE)
        self._twist_kind = TwistStamped if p.stamped_twist else Twist
        self._hear(self._twist_kind, CMD_VEL, lambda msg, now: self.controller.on_twist(
            messages.twist_from_msg(getattr(msg, 'twist', msg)), now), qos.STREAM)
        self._worker = InferenceWorker(self._recorded or policy,
                                       partial(self.call_soon, self._on_outcome))

    def _finder(self, robot: RobotSpec) -> ObjectFinder | None:
        """What finds objects in view; None where nobody is to look, or can."""
        if not self._language.value.sees_objects:
            return None
        finder, problem = shipped_finder(robot)
        if problem:
            self.get_logger().info(f'Words are read without looking at what they mean: {problem}')
        return finder

    def _plan(self) -> float | None:
        """Have somebody ready who plans; how long it is waited for them [s], None for nobody."""
        p = self._language.value
        if not p.planner:
            return None
        planner = ServedPlanner(p.planner, p.planner_model, p.planner_timeout_s)
        self._planner = PlanWorker(planner, partial(self.call_soon, self._on_plan))
        self.get_logger().info(f'Words that find no place are told to {p.planner}')
        return p.planner_timeout_s

    def _record(self, policy: FittedPolicy, robot: RobotSpec) -> RecordedPolicy:
        p = self._chosen.value
        what = chosen_policy(p.policy, robot)
        header = RolloutsHeader.of(what, fingerprint(what, policy.policy), robot.name,
                                   policy.spec, policy.spec.latency_s)
        folder = RolloutsFolder.create(Path(p.record), header)
        return RecordedPolicy(policy, folder, lambda text: self.get_logger().info(text))

    def _hear(self, kind: Any, topic: str, handle: Callable[[Any, float], object],
              profile: Any = qos.SENSOR_INPUT, refuse: Callable[[str], str] = str) -> None:
        """Convert and hand over; then do what the controller asks for."""
        def callback(msg: Any) -> None:
            try:
                handle(msg, time.monotonic())
            except messages.MessageError as error:
                self.warn(topic, refuse(str(error)))
            self._follow()
        self.subscribe(kind, topic, callback, profile)

    def activate(self) -> None:
        self._loop.begin(time.monotonic())
        self.every(self._loop.period_s, self._tick)
        self.every(1.0, self._look_for_other_twists)

    def deactivate(self) -> None:
        self.controller.stop(time.monotonic())
        self._follow()

    def release(self) -> None:
        if hasattr(self, '_worker'):
            self._worker.close()
        if self._planner is not None:
            self._planner.close()

    def _on_image(self, camera: str, msg: Image | CompressedImage) -> None:
        try:
            pixels, stamp_ns = messages.rgb_from_msg(msg), messages.to_ns(msg.header.stamp)
            problem = self.controller.on_frame(camera, pixels, stamp_ns, self.now_ns(),
                                               time.monotonic())
        except ImageError as error:
            problem = self.controller.senses.frames.reject(camera, str(error))
        if problem:
            self.warn(camera, problem)
        self._follow()

    def _on_command(self, msg: String, now: float) -> None:
        if self.is_active and isinstance(
                parsed := self.controller.on_command(msg.data, now), Rejection):
            self.warn('command', f'command refused: {parsed.reason}', every_s=1.0)

    def _on_gated(self, msg: JointState, now: float) -> None:
        channels = messages.channels_from_msg(msg)
        self.controller.on_gated(*read_gated(channels, self._joint_names), now)

    def _on_safety_state(self, msg: String, now: float) -> None:
        if (said := read_safety(msg.data)) is not None:
            self.controller.on_safety(*said, now)

    def _on_outcome(self) -> None:
        if (outcome := self._worker.take()) is not None:
            self.controller.on_outcome(outcome, time.monotonic())
            self._follow()

    def _on_plan(self) -> None:
        if self._planner is None or (answer := self._planner.take()) is None:
            return
        result = self.controller.on_plan(answer, time.monotonic())
        if isinstance(result, Instruction):
            steps = '; '.join(step.text for step in result.steps)
            self.get_logger().info(f'{result.text!r} is planned: {steps}')
        self._follow()

    def _tick(self) -> None:
        now = time.monotonic()
        self._loop.tick(now)
        self.controller.senses.clock_problem = self.clock_problem
        self.controller.tick(now)
        self._follow()

    def _follow(self) -> None:
        """Publish what the controller proposes and says, and infer what it asks for."""
        control = self.controller
        now_doing = control.task.instruction_id if control.task.is_active else None
        if self._recorded is not None and now_doing != self._doing:
            self._recorded.end()
        self._doing = now_doing
        for proposal in control.take_proposals():
            self._proposals.publish(messages.channels_to_msg(encode_proposal(proposal)))
        if (request := control.take_request()) is not None:
            self._worker.submit(request)
        if self._planner is not None and (plan := control.take_plan_request()) is not None:
            self._planner.submit(plan)
        if control.fault:
            self.warn('fault', control.fault, every_s=1.0)
        if (line := control.task.describe()) != self._announced:
            self._announced = line
            self._task_states.publish(String(data=line))
            self.tell('task', line)
        if (asked := control.task.question.text if control.task.question else '') != self._asked:
            self._asked = asked
            self._questions.publish(String(data=asked))

    def _look_for_other_twists(self) -> None:
        self.controller.senses.base_problem = type_problem(
            self, CMD_VEL, self._twist_kind, 'set stamped_twist alike, below /**')

    def health(self) -> Health:
        if not self.is_active:
            return Health(WARN, 'not active', {})
        level, text, values = self.controller.health(time.monotonic())
        return Health(LEVELS[level], text, {**self._loop.counts, **values})


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until a signal."""
    run(VlaController, args)


if __name__ == '__main__':
    main()
