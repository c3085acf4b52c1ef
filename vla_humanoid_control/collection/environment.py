"""The simulated humanoid as a Gymnasium environment: one episode is one task in a fresh scene.

RobotObservation (a dictionary):

    image        uint8 [H, W, 3]   the head camera, RGB
    joints       float64 [J]       joint positions in the order of the robot file [rad; m]
    instruction  text              what to do, in plain English

Action: float32 [D] in [-1, 1], the channels of `RobotSpec.action_channels`: base twist, then joint
position targets, each scaled from its limits in the robot file; held for one step (`CHUNK_DT_S`).

Reward: 1 on the step in which the task is accomplished, else 0; the episode then terminates. It is
truncated at the task's time limit.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from vla_humanoid_control.interfaces import CHUNK_DT_S, IMAGE_SIZE
from vla_humanoid_control.robot.abilities import keys_for
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.judge import TaskMonitor
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.tasks.phrasings import phrasings
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import FAMILIES
from vla_humanoid_control.types import CONTROL_PERIOD_S

_Observation = dict[str, Any]


class HumanoidEnv(gymnasium.Env[_Observation, NDArray[np.float32]]):
    """Humanoid in a room. Options of `reset`: `task`, a key such as 'go_to:red:box'."""

    metadata = {'render_modes': ['rgb_array'], 'render_fps': round(1 / CHUNK_DT_S)}

    def __init__(self, robot: str = 'humanoid', image_size: tuple[int, int] = IMAGE_SIZE,
                 split: str = 'train', render_mode: str | None = None) -> None:
        """Make an environment.

        Args:
            robot: Name or path of the robot file.
            image_size: Width and height of the head camera's image [px].
            split: Which phrasings the instructions are drawn from, 'train' or 'test'.
            render_mode: 'rgb_array' makes `render` return the outside view.
        """
        self.robot = load_robot(robot)
        self.world = World(self.robot)
        self.render_mode = render_mode
        self._keys = [k for family in FAMILIES for k in keys_for(self.robot, family)]
        self._size = image_size
        self._split = split
        base = self.robot.top_twist
        joints = self.robot.controlled
        self._low = np.array([-v for v in base] + [j.lower for j in joints])
        self._high = np.array([*base, *(j.upper for j in joints)])
        self.action_space = spaces.Box(-1.0, 1.0, (len(self._low),), np.float32)
        self.observation_space = spaces.Dict({
            'image': spaces.Box(0, 255, (image_size[1], image_size[0], 3), np.uint8),
            'joints': spaces.Box(-10.0, 10.0, (len(self.robot.joints),), np.float64),
            'instruction': spaces.Text(500, min_length=1, charset=_CHARACTERS)})
        self._task = Task('stop')
        self._instruction = 'stop'
        self._monitor: TaskMonitor

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None
              ) -> tuple[_Observation, dict[str, Any]]:
        """Begin an episode; the task is drawn from the seed unless `options` names one."""
        super().reset(seed=seed)
        key = (options or {}).get('task')
        if key is None:
            key = str(self.np_random.choice(self._keys))
        self._task = Task.from_key(key)
        self._instruction = str(self.np_random.choice(phrasings(key, self._split)))
        self.world.reset(int(self.np_random.integers(2 ** 31)), self._task)
        self._monitor = TaskMonitor(self._task, self.world)
        return self._observe(), {'task': key}

    def step(self, action: NDArray[np.float32]
             ) -> tuple[_Observation, float, bool, bool, dict[str, Any]]:
        """Follow one action for `CHUNK_DT_S`."""
        values = self.unscale(action)
        names = self.robot.action_channels[3:]
        self.world.apply(values[:3], dict(zip(names, values[3:].tolist())))
        for _ in range(round(CHUNK_DT_S / CONTROL_PERIOD_S)):
            self.world.advance(CONTROL_PERIOD_S)
            self._monitor.update(self.world)
        # Standing still is no accomplishment before there was time to see it.
        success = self._monitor.success(self.world) and self.world.time_s >= self._monitor.settle_s
        truncated = self.world.time_s >= self._task.time_limit_s
        return (self._observe(), float(success), success, truncated and not success,
                {'task': self._task.key, 'success': success})

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """An action in [-1, 1] from channel values [D] in their own units."""
        scaled = 2 * (np.asarray(values) - self._low) / (self._high - self._low) - 1
        return np.clip(scaled, -1, 1).astype(np.float32)

    def unscale(self, action: NDArray[np.float32]) -> NDArray[np.float64]:
        """Channel values [D] in their own units from an action; beyond [-1, 1] is clipped."""
        clipped = np.clip(np.asarray(action, dtype=float), -1, 1)
        return self._low + (clipped + 1) / 2 * (self._high - self._low)

    def render(self) -> NDArray[np.uint8] | None:  # type: ignore[override]
        """The outside view, RGB uint8 [480, 640, 3]; None without a render mode."""
        return self.world.render('outside') if self.render_mode == 'rgb_array' else None

    def close(self) -> None:
        """Free the drawing contexts."""
        self.world.close()

    def _observe(self) -> _Observation:
        return {'image': self.world.render('head', *self._size),
                'joints': self.world.joint_positions(), 'instruction': self._instruction}


_CHARACTERS = ('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
               ' .,;:!?\'"()-/&\u00b0')

ENVIRONMENT_ID = 'VlaHumanoid-v0'
"""For `gymnasium.make`, after this module was imported."""

if ENVIRONMENT_ID not in gymnasium.registry:
    gymnasium.register(ENVIRONMENT_ID, entry_point=f'{__name__}:{HumanoidEnv.__name__}')
