"""The node that a textbook on ROS 2 would write, for comparison. Not for use on a robot.

One class: the image callback converts and resizes every frame, the timer callback runs inference,
and the result goes out as a Twist. Nothing checks, limits, gates or watches anything. It runs the
same policy, with the same forward pass, as `vla_controller`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import cv2
import numpy as np
import rclpy
from geometry_msgs.msg import Twist
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from vla_humanoid_control.policy.registry import DEFAULT_POLICY, load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.types import RobotObservation

QUEUE = 10


class TextbookNode(Node):  # type: ignore[misc]  # rclpy has no types
    """Camera, joints and words in; Twist out.

    Parameters:
        robot, policy, rate_hz: As of `vla_controller`.
    """

    def __init__(self) -> None:
        super().__init__('textbook_vla')
        robot = load_robot(self.declare_parameter('robot', 'humanoid').value)
        self.policy = load_policy(self.declare_parameter('policy', '').value or DEFAULT_POLICY,
                                  robot)
        rate_hz = self.declare_parameter('rate_hz', 10.0).value
        self.image: np.ndarray | None = None
        self.image_stamp_ns = 0
        self.joints: np.ndarray | None = None
        self.instruction = ''
        self.began_s = 0.0
        self.travelled = np.zeros(3)
        self.period_s = 1.0 / rate_hz
        self.create_subscription(Image, robot.cameras['head'].topic, self.image_callback, QUEUE)
        self.create_subscription(JointState, '/joint_states', self.joint_callback, QUEUE)
        self.create_subscription(String, '/vla_command', self.command_callback, QUEUE)
        self.publisher = self.create_publisher(Twist, '/cmd_vel', QUEUE)
        self.create_timer(self.period_s, self.timer_callback)

    def image_callback(self, msg: Image) -> None:
        """Convert and resize every frame."""
        pixels = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width, 3)
        self.image = cv2.resize(pixels, self.policy.spec.image_size, interpolation=cv2.INTER_AREA)
        self.image_stamp_ns = msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec

    def joint_callback(self, msg: JointState) -> None:
        """Keep the newest posture."""
        positions = dict(zip(msg.name, msg.position))
        self.joints = np.array([positions[name] for name in self.policy.spec.joint_names])

    def command_callback(self, msg: String) -> None:
        """Begin an instruction."""
        self.instruction = msg.data
        self.policy.reset(msg.data)
        self.began_s = time.monotonic()
        self.travelled = np.zeros(3)

    def timer_callback(self) -> None:
        """Run inference, publish what comes out."""
        if self.image is None or self.joints is None or not self.instruction:
            return
        observation = RobotObservation(self.image_stamp_ns, {'head': self.image}, self.joints,
                                       time.monotonic() - self.began_s, self.travelled)
        action = self.policy.infer(observation).actions[0]
        twist = Twist()
        twist.linear.x, twist.linear.y, twist.angular.z = (float(v) for v in action[:3])
        self.travelled = self.travelled + action[:3] * self.period_s
        self.publisher.publish(twist)


def main(args: Sequence[str] | None = None) -> None:
    """Run the node until a signal."""
    rclpy.init(args=args)
    node = TextbookNode()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
