"""Who else publishes the robot's commands, and who hears them."""

from __future__ import annotations

from typing import Any

from rclpy.publisher import Publisher

from vla_humanoid_control.graph.bringup import offers_shared_memory
from vla_humanoid_control.graph.shared_memory import belongs_to_others
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.ros.listeners import Subscriber, deaf, nobody_hears
from vla_humanoid_control.ros.managed import ManagedNode
from vla_humanoid_control.ros.topics import type_name

CMD_VEL, JOINT_COMMANDS = 'cmd_vel', 'joint_commands'
PROPOSALS = 'vla/action_proposal'


class CommandPeers:
    """What the graph tells of other nodes on the topics of the commands.

    Args:
        node: The one that is to be the only publisher.
        robot: Whose commands they are.
        twists: Publishes `/cmd_vel`.
        joint_targets: Publishes `/joint_commands`.

    Attributes:
        deaf: What is to be said of listeners that hear nothing, since `unheard`.
        apart: Why a program of another user and this one do not find each other, since
            `look_for_other_users`; '' where they do.
    """

    def __init__(self, node: ManagedNode, robot: RobotSpec, twists: Publisher,
                 joint_targets: Publisher) -> None:
        self.deaf: tuple[str, ...] = ()
        self.apart = ''
        self._node, self._robot = node, robot
        self._twists, self._joint_targets = twists, joint_targets

    def foreign(self) -> list[str]:
        """Topics of commands on which someone else publishes, by their names on this robot."""
        foreign = []
        for topic in (CMD_VEL, JOINT_COMMANDS):
            publishers = self._node.get_publishers_info_by_topic(topic)
            mine = [i for i in publishers if i.node_name == self._node.get_name()
                    and i.node_namespace == self._node.get_namespace()]
            # Two of my own name are me and a double.
            if len(publishers) > len(mine) or len(mine) > 1:
                foreign.append(self._node.resolve_topic_name(topic))
        return foreign

    def look_for_other_users(self) -> None:
        """Without a word here, a driver of another user would look like none."""
        domain = self._node.context.get_domain_id()
        is_apart = offers_shared_memory() and belongs_to_others(domain)
        self.apart = '' if not is_apart else (
            f'a program of another user takes part in ROS domain {domain}, whose shared memory '
            'Fast DDS cannot open: neither hears the other. Start the graph again while that '
            'program runs: it then does without shared memory')

    def unheard(self) -> str:
        """Why the commands would not reach the robot; '' where they do."""
        twists, targets = self._twists, self._joint_targets
        twist, target = (type_name(p.msg_type) for p in (twists, targets))
        listeners = self._listeners(twists.topic_name)
        # The controller listens to what becomes of its proposals; it is no base, unless one
        # program is both and tells of the robot's joints, too.
        mine = {_full_name(i) for i in self._node.get_publishers_info_by_topic(PROPOSALS)}
        mine -= {_full_name(i) for i in self._node.get_publishers_info_by_topic(
            self._robot.sensors['joint_states'].topic)}
        base = [o for o in listeners if o.node not in mine]
        joints = self._listeners(targets.topic_name)
        unheard = [nobody_hears(twists.topic_name, twist, base),
                   *deaf(twists.topic_name, twist, [o for o in listeners if o.node in mine])]
        if joints and self._robot.controlled:  # a robot may have no use for these
            unheard.append(nobody_hears(targets.topic_name, target, joints))
        self.deaf = (*deaf(twists.topic_name, twist, base),
                     *deaf(targets.topic_name, target, joints))
        if not joints and self._robot.controlled:
            self.deaf += (f'{targets.topic_name}: nobody listens',)
        return '; '.join(filter(None, unheard))

    def _listeners(self, topic: str) -> list[Subscriber]:
        return [Subscriber(_full_name(i), i.topic_type)
                for i in self._node.get_subscriptions_info_by_topic(topic)]


def _full_name(endpoint: Any) -> str:
    return f'{endpoint.node_namespace.rstrip("/")}/{endpoint.node_name}'
