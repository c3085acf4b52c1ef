"""A policy, a camera or a sensor misbehaves in motion: the robot stops, and says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from graph_under_test import GraphUnderTest
from sensor_msgs.msg import Image, JointState

from vla_humanoid_control.nodes import qos


@pytest.fixture
def faulty(domain_id: int, tmp_path: Path) -> Iterator[GraphUnderTest]:
    """The graph with the policy of `faulty_controller`."""
    with GraphUnderTest(domain_id, tmp_path, controller='faulty_controller') as running:
        running.wait_until_ready()
        yield running


def walk_into(graph: GraphUnderTest, words: str) -> None:
    """Walk for a while, and then the policy does what the words say."""
    graph.say(words)
    graph.wait_for(lambda: graph.speed > 0.2, 'the robot walks')


@pytest.mark.parametrize(('words', 'reason'), [('give nan', 'not finite'),
                                               ('give infinite values', 'not finite'),
                                               ('wrong dimension', 'shape')])
def test_chunk_of_nonsense_stops_with_the_reason(faulty: GraphUnderTest, words: str,
                                                 reason: str) -> None:
    walk_into(faulty, words)
    faulty.wait_for(lambda: any(s.startswith('STOP') and reason in s
                                for _, s in faulty.safety_states), 'STOP with the reason')
    faulty.wait_for(lambda: faulty.task.startswith('FAILED'), 'all retries are used up', 30.0)
    faulty.wait_for(faulty.is_at_rest, 'the base is at rest')
    faulty.assert_within_limits()


@pytest.mark.parametrize('words', ['a thousand times too much', 'alternate'])
def test_huge_actions_are_bounded(faulty: GraphUnderTest, words: str) -> None:
    walk_into(faulty, words)
    began = time.monotonic()
    faulty.wait_for(lambda: time.monotonic() - began > 2.0, 'two seconds')
    faulty.assert_within_limits()
    values = {v.key: v.value for v in faulty.diagnostics['safety_monitor'].values}
    assert int(values['count/clamped']) > 0


def test_exception_in_inference_holds_retries_and_fails(faulty: GraphUnderTest) -> None:
    walk_into(faulty, 'explode')
    faulty.wait_for(lambda: faulty.task.startswith('FAILED'), 'all retries are used up', 30.0)
    assert 'the policy is broken' in faulty.task
    faulty.wait_for(faulty.is_at_rest, 'the base is at rest')
    faulty.say('walk forward')
    faulty.wait_for(lambda: faulty.task.startswith('DONE'), 'a new command is carried out')


def test_out_of_memory_fails_without_retries(faulty: GraphUnderTest) -> None:
    walk_into(faulty, 'memory')
    faulty.wait_for(lambda: faulty.task.startswith('FAILED'), 'it has failed')
    assert not any(s.startswith('RETRYING') for _, s in faulty.task_states)


def test_hung_inference_stops_and_is_reported(faulty: GraphUnderTest) -> None:
    walk_into(faulty, 'hang')
    faulty.wait_for(lambda: 'hangs' in faulty.health('vla_controller'), 'reported', 5.0)
    faulty.wait_for(faulty.is_at_rest, 'the base is at rest', 10.0)
    fast = max(t for t, v in faulty.twists if np.abs(v).max() > 0.25)
    faulty.assert_within_limits()
    assert time.monotonic() - fast > 0.5
    faulty.say('stop')
    faulty.wait_for(lambda: faulty.task.startswith('DONE'), 'stop words still act', 1.0)


def test_confidence_that_is_no_number_closes_the_gate(faulty: GraphUnderTest) -> None:
    walk_into(faulty, 'doubt')
    faulty.wait_for(lambda: faulty.task.startswith('HELD'), 'held')
    faulty.wait_for(faulty.is_at_rest, 'the base is at rest')
    assert faulty.confidences[-1][1] == 0.0


def spoil_encoding(image: Image) -> Image:
    image.encoding = 'rgb9'
    return image


def spoil_step(image: Image) -> Image:
    image.step -= 1
    return image


def spoil_width(image: Image) -> Image:
    image.width = 2**31
    return image


def spoil_size(image: Image) -> Image:
    image.width = image.height = 0
    return image


def spoil_data(image: Image) -> Image:
    image.data = image.data[:-10]
    return image


def spoil_stamp_zero(image: Image) -> Image:
    image.header.stamp.sec = image.header.stamp.nanosec = 0
    return image


def spoil_stamp_old(image: Image) -> Image:
    image.header.stamp.sec -= 2
    return image


def spoil_stamp_ahead(image: Image) -> Image:
    image.header.stamp.sec += 10
    return image


def spoil_pixels(image: Image) -> Image:
    image.data = type(image.data)('B', bytes(len(image.data)))
    return image


@pytest.mark.parametrize(('spoil', 'reason'), [
    (spoil_encoding, 'unknown encoding'), (spoil_data, 'bytes of data'), (spoil_size, 'size 0x0'),
    (spoil_step, 'step is'), (spoil_width, 'size 2147483648'), (spoil_stamp_zero, 'stamp is zero'),
    (spoil_stamp_old, 's old'), (spoil_stamp_ahead, 's ahead'),
    (spoil_pixels, 'has not changed'), (lambda image: None, 'no frame'),
], ids=lambda value: getattr(value, '__name__', None))
def test_camera_fault_in_motion_stops(graph: GraphUnderTest,
                                      spoil: Callable[[Image], Image | None],
                                      reason: str) -> None:
    """The robot stops within the proposal's deadline, and for frozen pixels within theirs too."""
    graph.wait_until_ready()
    graph.walk()
    spoilt = time.monotonic()
    graph.robot.spoil = spoil
    graph.wait_for(graph.is_at_rest, 'the base is at rest', 10.0)
    late_s = 0.4 if spoil is spoil_pixels else 0.0
    assert graph.stopping_began_after(spoilt) < 0.3 + late_s + graph.slack_s(spoilt)
    graph.assert_within_limits()
    graph.wait_for(lambda: reason in graph.health('vla_controller'), 'the reason is reported')


def test_malformed_gated_message_stops_with_the_reason(graph: GraphUnderTest) -> None:
    """Whoever sends it: a command that is not understood means stop, not ignore."""
    graph.wait_until_ready()
    graph.walk()
    intruder = graph.node.create_publisher(JointState, '/vla/action_gated', qos.STREAM)
    graph.wait_for(lambda: intruder.get_subscription_count() >= 2, 'discovery')
    graph.say('walk forward')
    bad = JointState(name=['base/linear_x', 'tail'], position=[0.0, 1.0], velocity=[0.1, 0.0])
    graph.wait_for(lambda: intruder.publish(bad) or any(
        s.startswith('STOP') and "unknown channel 'tail'" in s for _, s in graph.safety_states),
        'STOP with the reason', 3.0)


@pytest.mark.parametrize('sensor', ['joints_on', 'scan_on'])
def test_silent_sensor_stops(graph: GraphUnderTest, sensor: str) -> None:
    graph.wait_until_ready()
    graph.walk()
    setattr(graph.robot, sensor, False)
    graph.wait_for(lambda: graph.safety.startswith('STOP'), 'stopped', 2.0)
    graph.wait_for(graph.is_at_rest, 'the base is at rest', 10.0)
    setattr(graph.robot, sensor, True)
    graph.wait_for(lambda: not graph.safety.startswith('STOP'), 'free again')


def test_thousand_commands_a_second_the_latest_wins(graph: GraphUnderTest) -> None:
    graph.wait_until_ready()
    graph.wait_for(lambda: graph.counter('vla_controller', 'ticks'), 'diagnostics')
    began, ticks = graph.counter('vla_controller', 'ticks')
    for number in range(1500):
        graph.say(f'turn left number {number}')
        time.sleep(0.0008)  # the rate is what is tested
    graph.say('raise your left hand')
    graph.wait_for(lambda: graph.task == 'RUNNING: raise your left hand', 'the latest', 5.0)
    graph.wait_for(lambda: graph.counter('vla_controller', 'commands')[1] > 1000, 'they came')
    ended, after = graph.counter('vla_controller', 'ticks')
    assert (after - ticks) / (ended - began) == pytest.approx(10.0, rel=0.1)
    # The flood reaches the log as a trickle.
    assert sum('turn left number' in line for line in graph.log) < 10 * (ended - began) + 10
