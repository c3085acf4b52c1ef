"""Plays Gazebo behind its bridge: the simulated robot, and where the objects are.

Started as Gazebo is, with a world in SDF. Which of the suite's scenes that is, the place of the
robot in it tells.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from geometry_msgs.msg import TransformStamped

from vla_humanoid_control.evaluation.suite import Episode, load_suite
from vla_humanoid_control.nodes.humanoid_sim import HumanoidSim
from vla_humanoid_control.robot.gazebo_bridge import OBJECT_POSES
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.managed import run
from vla_humanoid_control.ros.messages import to_stamp
from vla_humanoid_control.simulation.mirror import object_name
from vla_humanoid_control.simulation.world import World


def scene_of(world_file: Path) -> Episode:
    root = ElementTree.fromstring(world_file.read_bytes())
    robot = load_robot('humanoid')
    place = next(m for m in root.iter('model') if m.get('name') == robot.name).findtext('pose')
    assert place is not None
    world = World(robot)
    for episode in load_suite(Path(os.environ['STAND_IN_SUITE'])):
        world.reset(episode.seed, episode.task, setting=episode.setting)
        if np.allclose(world.base_pose()[:2], [float(n) for n in place.split()][:2], atol=1e-6):
            return episode
    raise LookupError(f'{world_file} is no scene of the suite')


class StandIn(HumanoidSim):
    """Its truth is its own: `vla eval --gazebo` must find out by itself."""

    def configure(self) -> None:
        super().configure()
        self._poses_out = self.advertise(TransformStamped, OBJECT_POSES, qos.SENSOR_OUTPUT)

    def _publish(self, step: int) -> None:
        super()._publish(step)
        if step % 5:
            return
        for placed, pose in zip(self._world.objects, self._world.object_poses()):
            msg = TransformStamped()
            msg.header.stamp, msg.child_frame_id = to_stamp(self._stamp_ns()), object_name(placed)
            place, turn = msg.transform.translation, msg.transform.rotation
            place.x, place.y, place.z = (float(n) for n in pose[:3])
            turn.w, turn.x, turn.y, turn.z = (float(n) for n in pose[3:])
            self._poses_out.publish(msg)


if __name__ == '__main__':
    assert {'-s', '-r', '--headless-rendering'} <= set(sys.argv), sys.argv
    asked = scene_of(Path(sys.argv[-1]))
    run(StandIn, ['--ros-args', '-r', '__node:=stand_in', '-p', 'joint_command_type:=trajectory',
                  '-p', f'scene_seed:={asked.seed}', '-p', f'scene_task:={asked.task.key}',
                  '-p', f'scene_room:={asked.setting.room}',
                  '-p', f'scene_obstacles:={asked.setting.obstacles}'])
