"""What counts as success: watches an episode, and judges it by the simulator's state."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.simulation.contacts import borne, hands_at, held_by
from vla_humanoid_control.simulation.twins import meant
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.geometry import rotate, wrap
from vla_humanoid_control.tasks.order import StepOrder
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import HAND_FAMILIES, MOVES, OBJECT_FAMILIES

MOVING_MPS = 0.05
"""A base that is slower stands [m/s]."""
STOPS_S, STOPS_WALKING_S = 0.5, 1.5
"""So long after a stop it may still move, on wheels and on legs [s]."""
_SWAY_S = 0.5
"""A base on legs sways while it stands: its speed is that over so long [s]."""
LIFTED_M, HELD_S = 0.10, 1.0
"""An object is picked up when it was so much higher than at first, for so long [m, s]."""
BESIDE_M, STILL_S = 0.06, 0.5
"""An object is placed when it stands with no more room than that to the other one, touched by no
hand and still, for so long [m, s]."""


class StepsMonitor:
    """Watches one episode of one task or several, one after the other.

    Each task is judged by a `TaskMonitor` of its own, from when the robot goes on to it until it
    goes on to the next one.

    Attributes:
        several: Whether there is more than one.
        order: Which one the robot is at, and what went wrong with the order.
    """

    def __init__(self, task: Task, world: World) -> None:
        """Begin to watch. Raises UserError: the first task's object is not in the scene."""
        self.several = len(task.parts) > 1
        self.order = StepOrder(task.parts)
        self._monitor = TaskMonitor(self.order.present, world)

    def update(self, world: World, step: int | None = None) -> None:
        """Look again. Call at every control step (`CONTROL_PERIOD_S`).

        Args:
            world: The world.
            step: Index of the task that the robot is at, as it says itself; None for the same.
        """
        monitor = self._monitor
        monitor.update(world)
        if step is not None and step != self.order.step \
                and self.order.go_on(step, monitor.success(world), monitor.measured(world)):
            again = self.order.present == monitor.task
            self._monitor = TaskMonitor(self.order.present, world, again)

    @property
    def settle_s(self) -> float:
        """See `TaskMonitor.settle_s`."""
        return self._monitor.settle_s

    def success(self, world: World) -> bool:
        """Whether all was achieved in order and the last task is accomplished right now."""
        return not self.problem(world)

    def problem(self, world: World) -> str:
        """Why it is no success that the robot declares itself done now; '' where it is one."""
        return self.order.end(self._monitor.success(world), self._monitor.measured(world))


class TaskMonitor:
    """Watches one task from the moment of its instruction, and says whether it succeeded."""

    def __init__(self, task: Task, world: World, again: bool = False) -> None:
        """Begin to watch.

        Several tasks in one are none that it could judge: see `StepsMonitor`.

        Args:
            task: One thing to do.
            world: The world.
            again: Whether the same has just been done: a hand that stays raised is not raised
                twice, it must be seen lowered first.

        Raises:
            UserError: The task's object is not in the scene.
        """
        self.task = task
        self._start_s = world.time_s
        self._start = world.base_pose()
        self._turned = 0.0
        self._last_yaw = self._start[2]
        self._last_fast_s = self._start_s
        self._walks = world.robot.walks
        self._places: deque[tuple[float, NDArray[np.float64]]] = deque()  # the last `_SWAY_S`
        self._waves = _WaveCounter()
        self._is_over = not again or task.family != 'gesture' or task.arguments == ('wave',)
        if task.family in OBJECT_FAMILIES:
            world.find(*task.arguments)  # says where there is none
            self._targets = meant(world.objects, world.layout.base_pose, task)
        elif task.family in HAND_FAMILIES:
            self._targets = tuple(world.find(*pair) for pair in task.objects)
        self._not_s = self._start_s
        self._objects = world.object_poses()

    def update(self, world: World) -> None:
        """Look again. Call at every control step (`CONTROL_PERIOD_S`)."""
        yaw = world.base_pose()[2]
        self._turned += yaw - self._last_yaw
        self._last_yaw = yaw
        if self._speed(world) >= MOVING_MPS:  # a mean speed is that of the middle of its time
            self._last_fast_s = world.time_s - (_SWAY_S / 2 if self._walks else 0.0)
        if self.task.key == 'gesture:wave':
            self._waves.update(world)
        elif self.task.family == 'gesture':
            self._is_over |= not self._gestured(world)
        elif (self.task.family == 'pick' and not self._in_hand(world)) \
                or (self.task.family == 'place' and not self._put_down(world)):
            self._not_s = world.time_s

    @property
    def settle_s(self) -> float:
        """How long after it was declared done success is judged [s]."""
        return STOPS_WALKING_S + _SWAY_S if self._walks and self.task.family == 'stop' \
            else self.task.settle_s

    def _speed(self, world: World) -> float:
        """Of the base [m/s]."""
        if not self._walks:
            return float(np.linalg.norm(world.base_twist()[:2]))
        self._places.append((world.time_s, world.base_pose()[:2]))
        while self._places[-1][0] - self._places[0][0] > _SWAY_S:
            self._places.popleft()
        (then_s, then), (now_s, now) = self._places[0], self._places[-1]
        # Until there is so much to look back on, it counts as moving.
        return float(np.linalg.norm(now - then)) / (now_s - then_s) \
            if now_s - then_s > 0.8 * _SWAY_S else np.inf

    def success(self, world: World) -> bool:
        """Whether the task is accomplished right now, by the definitions of this module."""
        family = self.task.family
        if family == 'move':
            return self._moved(world)
        if family == 'turn':
            return self._has_turned()
        if family == 'stop':
            return self._last_fast_s - self._start_s <= (
                STOPS_WALKING_S if self._walks else STOPS_S)
        if family == 'go_to':
            return self._at_object(world) and not self.knocked_over(world)
        if family == 'reach':
            return self._hand_at_object(world) and not self.knocked_over(world)
        if family == 'pick':
            return world.time_s - self._not_s >= HELD_S and not self.knocked_over(world)
        if family == 'place':
            return world.time_s - self._not_s >= STILL_S and not self.knocked_over(world)
        return family == 'gesture' and self._is_over and self._gestured(world)

    def knocked_over(self, world: World) -> bool:
        """Whether any object tipped by over 35° or was pushed by over half its width and 5 cm.

        An object that is to be picked up is none of them.
        """
        lifted = self._targets[:1] if self.task.family in HAND_FAMILIES else ()
        for index, (before, now) in enumerate(zip(self._objects, world.object_poses())):
            placed = world.objects[index]
            if index in lifted:
                continue
            shift = float(np.linalg.norm(now[:3] - before[:3]))
            tilt = np.arccos(np.clip(1 - 2 * (now[4] ** 2 + now[5] ** 2), -1, 1))
            if shift > placed.size.radius + 0.05 or (placed.shape != 'ball' and tilt > 0.61):
                return True
        return False

    def measured(self, world: World) -> str:
        """What there is of an amount, such as 'moved 1.31 m and 0.04 m across'; '' without one."""
        if self.task.amount is None:
            return ''
        if self.task.family == 'turn':
            side = 'left' if self._turned >= 0 else 'right'
            return f'turned {abs(np.degrees(self._turned)):.0f} degrees to the {side}'
        along, across = self._way(world)
        return f'moved {along:.2f} m and {across:.2f} m across'

    def _way(self, world: World) -> tuple[float, float]:
        """How far the base came in the direction of the task, and across it [m]."""
        shift = world.base_pose()[:2] - self._start[:2]
        forward, left = rotate(shift[0], shift[1], -self._start[2])
        direction = MOVES[self.task.arguments[0]]
        return (forward * direction[0] + left * direction[1],
                abs(forward * direction[1] - left * direction[0]))

    def _moved(self, world: World) -> bool:
        along, across = self._way(world)
        if (amount := self.task.amount) is not None:
            return bool(max(abs(along - amount.value), across) <= amount.tolerance)
        return bool(along >= 0.5 and across < 0.2)

    def _has_turned(self) -> bool:
        direction = self.task.arguments[0]
        degrees = np.degrees(self._turned)
        turned = {'left': degrees, 'right': -degrees, 'around': abs(degrees)}[direction]
        if (amount := self.task.amount) is not None:
            return bool(abs(turned - amount.value) <= amount.tolerance)
        return bool(abs(turned - 180) <= 25 if direction == 'around' else turned >= 45)

    def _at_object(self, world: World) -> bool:
        pose = world.base_pose()
        for target in world.object_poses()[list(self._targets)]:
            offset = target[:2] - pose[:2]
            bearing = wrap(np.arctan2(offset[1], offset[0]) - pose[2])
            if np.linalg.norm(offset) <= 0.8 and abs(bearing) <= np.radians(30):
                return True
        return False

    def _hand_at_object(self, world: World) -> bool:
        return min(world.hand_distance(side, target)
                   for side in world.robot.end_effectors for target in self._targets) <= 0.06

    def _in_hand(self, world: World) -> bool:
        """Whether the object is up, and nothing but the robot's hands is at it."""
        index = self._targets[0]
        rise = float(world.object_poses()[index][2] - self._objects[index][2])
        return rise >= LIFTED_M and bool(held_by(world, index))

    def _put_down(self, world: World) -> bool:
        """Whether the first object stands still beside the second, with no hand at it."""
        index, other = self._targets
        poses, sizes = world.object_poses(), [world.objects[i].size for i in self._targets]
        room = float(np.linalg.norm((poses[index] - poses[other])[:2])) \
            - sum(size.radius for size in sizes)
        stands = abs(poses[index][2] - self._objects[index][2]) < 0.015 and borne(world, index)
        return room <= BESIDE_M and stands and not hands_at(world, index) \
            and world.object_speed(index) < 0.02

    def _gestured(self, world: World) -> bool:
        gesture = self.task.arguments[0]
        if gesture == 'wave':
            return self._waves.count >= 3
        if gesture.startswith('raise'):
            side = gesture.split('_')[1]
            return side in world.robot.end_effectors and bool(
                world.hand_position(side)[2] >= world.shoulder_height(side) + 0.25)
        joints, looks = world.joint_reading().positions, world.robot.gestures.looks
        return gesture in looks and all(
            (joints[name] - least) * (least - world.robot.joint(name).home) >= 0
            for name, least in looks[gesture].items())


class _WaveCounter:
    """Counts swings of 0.08 m or more of a raised hand, to either side."""

    def __init__(self) -> None:
        self.count = 0
        self._side: str | None = None
        self._turning_point = 0.0
        self._sign = 0

    def update(self, world: World) -> None:
        raised = [s for s in world.robot.end_effectors
                  if world.hand_position(s)[2] > world.shoulder_height(s) + 0.05]
        if not raised or (self._side is not None and self._side not in raised):
            self._side, self.count, self._sign = None, 0, 0
            return
        lateral = world.hand_lateral(raised[0] if self._side is None else self._side)
        if self._side is None:
            self._side, self._turning_point = raised[0], lateral
            return
        swing = lateral - self._turning_point
        if self._sign * swing > 0 or (self._sign == 0 and abs(swing) < 0.08):
            if self._sign != 0:
                self._turning_point = lateral
        elif abs(swing) >= 0.08:
            self.count += 1
            self._sign = int(np.sign(swing))
            self._turning_point = lateral
