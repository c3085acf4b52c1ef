"""The other forms of the topics: compressed images, stamped twists, commands for ros2_control."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TwistStamped
from graph_under_test import ROBOT, GraphUnderTest
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Float64MultiArray, String

from vla_humanoid_control.ros import qos
from vla_humanoid_control.ros.joint_commands import FORMS
from vla_humanoid_control.ros.messages import twist_from_msg
from vla_humanoid_control.ros.topics import type_name


def test_compressed_camera_stamped_twist_and_arrays(domain_id: int, tmp_path: Path) -> None:
    parameters = {'vla_controller': {'compressed': True, 'stamped_twist': True},
                  'safety_monitor': {'compressed': True, 'safety.watch_cameras': True,
                                     'stamped_twist': True, 'joint_command_type': 'array'}}
    with GraphUnderTest(domain_id, tmp_path, parameters=parameters) as graph:
        graph.robot.camera_on = False
        camera = graph.node.create_publisher(
            CompressedImage, ROBOT.cameras['head'].topic + '/compressed', qos.SENSOR_OUTPUT)
        random = np.random.default_rng(0)

        def see() -> None:
            pixels = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            msg = CompressedImage(format='jpeg', data=cv2.imencode('.jpg', pixels)[1].tobytes())
            msg.header.stamp = graph.node.get_clock().now().to_msg()
            camera.publish(msg)

        graph.node.create_timer(1 / 30, see)
        twists: list[TwistStamped] = []

        def drive(msg: TwistStamped) -> None:
            twists.append(msg)
            graph.robot.twist = twist_from_msg(msg.twist)

        arrays: list[Float64MultiArray] = []
        # A participant of its own: the probe's knows these topics with their usual types.
        context = rclpy.Context()
        rclpy.init(context=context, domain_id=domain_id)
        listener = rclpy.create_node('listener', context=context)
        listener.create_subscription(TwistStamped, '/cmd_vel', drive, 10)
        listener.create_subscription(Float64MultiArray, '/joint_commands', arrays.append, 10)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(listener)
        ended = threading.Event()

        def spin() -> None:
            while not ended.is_set():
                executor.spin_once(timeout_sec=0.1)

        spinning = threading.Thread(target=spin, daemon=True)
        spinning.start()
        graph.wait_until_ready()
        graph.say('walk forward')
        graph.wait_for(lambda: graph.task.startswith('DONE'), 'done')
        ended.set()
        spinning.join(5.0)
        rclpy.shutdown(context=context)
        assert max(t.twist.linear.x for t in twists) > 0.2
        assert twists[-1].header.frame_id == 'base_link' and twists[-1].header.stamp.sec > 0
        assert np.allclose(arrays[-1].data, [j.home for j in ROBOT.controlled], atol=1e-3)


@pytest.mark.parametrize('form', FORMS)
def test_arms_follow_every_form_of_commands_in_the_simulator(form: str, domain_id: int,
                                                             tmp_path: Path) -> None:
    """Regression: the simulator knew JointState alone, so its arms stood still under arrays, and
    the task was declared done.
    """
    pytest.importorskip('mujoco')
    shared = {'joint_command_type': form, 'stamped_twist': True}
    parameters = dict.fromkeys(('vla_controller', 'confidence_monitor', 'safety_monitor',
                                'humanoid_sim'), shared)
    with GraphUnderTest(domain_id, tmp_path, simulated=True, parameters=parameters) as graph:
        positions: dict[str, float] = {}
        graph.node.create_subscription(
            JointState, '/joint_states', lambda m: positions.update(zip(m.name, m.position)),
            qos.SENSOR_INPUT)
        truth: list[dict[str, Any]] = []
        graph.node.create_subscription(String, '/humanoid_sim/task_truth',
                                       lambda m: truth.append(json.loads(m.data)), qos.STREAM)
        graph.wait_until_ready()
        graph.wait_for(lambda: positions and truth, 'the robot is felt')
        home = positions['left_shoulder_pitch']
        graph.say('raise your left hand')
        graph.wait_for(lambda: positions['left_shoulder_pitch'] < home - 2.0, 'the arm is up')
        graph.wait_for(lambda: graph.task.startswith('DONE'), 'done')
        start = truth[-1]['pose']
        graph.say('walk forward')
        graph.wait_for(lambda: abs(truth[-1]['pose'][0] - start[0])
                       + abs(truth[-1]['pose'][1] - start[1]) > 0.3, 'it walks')
        assert not graph.count('humanoid_sim', 'commands_rejected')
        spoken = graph.node.get_publishers_info_by_topic('/joint_commands')
        assert [i.topic_type for i in spoken] == [type_name(FORMS[form].kind)]
