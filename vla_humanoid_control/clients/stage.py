"""Where episodes take place: what sets up their scenes, and judges what is done in them."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_humanoid_control.ros import qos
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.task import Task

Wait = Callable[[Callable[[], Any], float], bool]
"""Let the graph go on until something is true, so many seconds at most; whether it is."""


class Stage(ABC):
    """Sets up scenes and judges.

    Attributes:
        truth: The verdict of this moment: `success`, `settle_s` and what else is known; whoever
            empties it finds the next one there.
    """

    def __init__(self) -> None:
        self.truth: dict[str, Any] = {}

    @abstractmethod
    def enter(self, node: Node, wait: Wait) -> None:
        """Begin to listen, with the node of whoever directs."""

    @abstractmethod
    def missing(self) -> str:
        """What is not there yet; '' where all is."""

    def now_s(self) -> float:
        """Time there, by which episodes are measured; it may pass more slowly than here [s]."""
        return time.monotonic()

    @abstractmethod
    def arrange(self, task: Task, seed: int, scene: Mapping[str, int | str]) -> None:
        """Set up a scene, and wait until the robot stands in it and every sensor shows it.

        Args:
            task: What can be done in it.
            seed: Decides everything about it.
            scene: What makes it harder, by the field of `Setting`; as it was where left out.

        Raises:
            UserError: There is no such scene here.
        """

    @abstractmethod
    def judge(self, task: Task) -> None:
        """Judge a task from now on, in the scene as it is.

        Raises:
            UserError: It cannot be judged.
        """


class SimulatorStage(Stage):
    """The node `humanoid_sim`."""

    def enter(self, node: Node, wait: Wait) -> None:
        """See `Stage`."""
        self._node, self._wait = node, wait
        node.create_subscription(String, 'humanoid_sim/task_truth', self._on_truth, qos.STREAM)
        self._scene = node.create_client(SetParameters, 'humanoid_sim/set_parameters')
        self._reset = node.create_client(Trigger, 'humanoid_sim/reset')
        self._watch = node.create_client(Trigger, 'humanoid_sim/watch')

    def missing(self) -> str:
        """See `Stage`."""
        if not self._watch.service_is_ready():
            return 'humanoid_sim offers no services'
        return '' if self.truth else 'nothing from humanoid_sim'

    def arrange(self, task: Task, seed: int, scene: Mapping[str, int | str]) -> None:
        """See `Stage`."""
        distractors = -1 if task.distractors is None else task.distractors
        self._set(scene_seed=seed, scene_task=task.key, scene_distractors=distractors,
                  scene_twins=task.twins, **{f'scene_{k}': v for k, v in scene.items()})
        before = self.truth.get('scene')
        self._call(self._reset)
        self._wait(lambda: self.truth.get('scene') != before, 5.0)
        # The robot comes to rest in the new scene, and every sensor shows it.
        self._wait(lambda: False, 0.6)

    def judge(self, task: Task) -> None:
        """See `Stage`."""
        self._set(scene_task=task.key)
        self._call(self._watch)
        self.truth = {}  # of what was judged before

    def _on_truth(self, msg: String) -> None:
        self.truth = json.loads(msg.data)

    def _set(self, **values: int | str) -> None:
        """Set parameters of the simulator."""
        answer = self._answer(self._scene, SetParameters.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]))
        for result in answer.results:
            if not result.successful:
                raise UserError(f'humanoid_sim refuses the scene: {result.reason}')

    def _call(self, client: Any) -> None:
        answer = self._answer(client, Trigger.Request())
        if not answer.success:
            raise UserError(f'{self._name(client)} refused: {answer.message}')

    def _name(self, client: Any) -> str:
        return str(self._node.resolve_service_name(client.srv_name))

    def _answer(self, client: Any, request: Any) -> Any:
        future = client.call_async(request)
        if not self._wait(future.done, 10.0):
            raise UserError(f'{self._name(client)} does not answer. Is the simulator running?')
        return future.result()
