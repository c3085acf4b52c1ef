"""Faults 19 to 24 and 82: what a person, or another program, says. Fault 25: test_learned.py."""

from __future__ import annotations

import itertools
import struct
import time

import psutil
import pytest
from fault_report import Fault
from graph_under_test import PERIOD_S, GraphUnderTest

T_S = 0.3


def refused(graph: GraphUnderTest, fault: Fault, words: str, reason: str) -> None:
    """The command is refused with a reason, while standing and while walking to another one."""
    graph.say(words)
    graph.wait_for(lambda: reason in graph.health('vla_controller'), f'{words:.20} is refused')
    fault.happened(graph.health('vla_controller'))
    assert graph.task.startswith(('IDLE', 'DONE'))
    assert not any(t.any() for _, t in graph.twists)
    graph.diagnostics.clear()


def test_fault_19_empty_command(graph: GraphUnderTest, fault: Fault) -> None:
    """An empty and a blank command."""
    for words in ('', ' \t '):
        refused(graph, fault, words, 'empty')


def test_fault_20_command_of_a_megabyte(graph: GraphUnderTest, fault: Fault) -> None:
    """Fifty commands of 1 MB each."""
    controller = psutil.Process(graph.processes.processes['vla_controller'].pid)
    refused(graph, fault, 'walk forward ' * 80_000, 'more than')
    before = controller.memory_info().rss
    for _ in range(50):
        graph.say('walk forward ' * 80_000)
        graph.pause(0.02)
    graph.wait_for(lambda: graph.count('vla_controller', 'commands_rejected') >= 20, 'counted')
    grown_mb = (controller.memory_info().rss - before) / 1e6
    assert grown_mb < 30
    fault.happened(f'memory grew by {max(grown_mb, 0):.1f} MB')
    assert not any(t.any() for _, t in graph.twists)
    assert max(map(len, graph.log), default=0) < 1000


def test_fault_21_hostile_text(graph: GraphUnderTest, fault: Fault) -> None:
    """Control characters, invalid UTF-8, bidirectional overrides, other scripts."""
    refused(graph, fault, 'walk\x07forward', 'control')
    refused(graph, fault, 'walk \u202edrawrof', 'control')
    refused(graph, fault, '\N{SNOWMAN}', 'no word')
    text = b'walk \xff\xfe forward\x00'  # as CDR: a String that no Python program could make
    graph.say_raw(b'\x00\x01\x00\x00' + struct.pack('<I', len(text)) + text)
    graph.wait_for(lambda: 'UTF-8' in graph.health('vla_controller'), 'invalid UTF-8 is refused')
    fault.happened(graph.health('vla_controller'))
    graph.say('иди вперёд')
    graph.wait_for(lambda: 'иди вперёд' in graph.task, 'another script is taken as it is')
    graph.wait_for(lambda: graph.task.startswith('HELD'), 'and not understood')
    fault.happened(graph.task)
    graph.say('前へ歩いて')
    graph.wait_for(lambda: '前へ歩いて' in graph.task, 'the node is alive')
    assert not any(t.any() for _, t in graph.twists)


def test_fault_22_a_thousand_commands_a_second(graph: GraphUnderTest, fault: Fault) -> None:
    """1,000 commands a second for two seconds, and on until as many came on a busy machine."""
    graph.wait_for(lambda: graph.counter('vla_controller', 'ticks'), 'diagnostics')
    began, ticks = graph.counter('vla_controller', 'ticks')
    for number in itertools.count():
        if number >= 2000 and graph.count('vla_controller', 'commands') > 1000:
            break
        assert number < 40_000, 'they do not come'
        graph.say(f'turn left number {number}')
        time.sleep(0.0008)  # the rate is what is tested
    graph.say('raise your left hand')
    graph.wait_for(lambda: graph.task == 'RUNNING: raise your left hand', 'the latest wins')
    ended, after = graph.counter('vla_controller', 'ticks')
    commands = sum(began <= t <= ended for t, _ in graph.twists)
    # The loops went on meanwhile: how fast depends on the machine, and is told.
    assert after > ticks and commands
    fault.happened(f'the latest won; {(after - ticks) / (ended - began):.1f} of 10 proposals and '
                   f'{commands / (ended - began):.0f} of 50 commands a second')


def test_fault_23_stop_in_motion(graph: GraphUnderTest, fault: Fault) -> None:
    """'stop' in motion, while the policy works and while it hangs."""
    graph.walk_on()
    said = time.monotonic()
    graph.say('stop')
    fault.stops(graph, said, T_S)
    graph.settle()
    graph.forget()
    graph.say('hang briefly')
    graph.wait_for(lambda: graph.misbehaved_s, 'the policy hangs')
    said = time.monotonic()
    graph.say('please stop right now')
    fault.stops(graph, said, T_S)
    assert graph.task.startswith('DONE: please stop')
    fault.happened('stopped at once, both times')
    graph.wait_for(lambda: graph.count('vla_controller', 'results_discarded') > 0,
                   'what the policy says at last is discarded')


def test_fault_24_the_same_command_again(graph: GraphUnderTest, fault: Fault) -> None:
    """'walk forward' five more times while it is carried out."""
    graph.say('walk forward')
    graph.wait_for(lambda: graph.speed > 0.1, 'the robot walks')
    for _ in range(5):
        graph.say('Walk forward')
        graph.pause(0.2)
    graph.wait_for(lambda: graph.task.startswith('DONE'), 'done')
    graph.wait_for(graph.is_at_rest, 'the base is at rest')
    way = sum(t[0] for _, t in graph.twists) * PERIOD_S
    assert way == pytest.approx(0.7, abs=0.2)
    states = [s.split(':')[0] for _, s in graph.task_states[1:]]
    assert states == ['RUNNING', 'DONE']
    fault.happened(f'walked {way:.2f} m of 0.7 m, once')


@pytest.mark.parametrize('words', ['do not walk forward', 'walk forward when I clap'])
def test_fault_82_words_that_negate_or_condition(graph: GraphUnderTest, fault: Fault,
                                                 words: str) -> None:
    """A command with a negation, one with a condition, while standing and while walking."""
    graph.say(words)
    graph.wait_for(lambda: graph.task.startswith(f'FAILED: {words}'), 'it is not acted on')
    assert 'without negation or condition' in graph.task
    fault.happened(graph.task)
    assert not any(t.any() for _, t in graph.twists)
    graph.walk_on()
    said = time.monotonic()
    graph.say(words)
    fault.stops(graph, said, T_S)
    assert graph.task.startswith(f'FAILED: {words}')
    inferences = graph.count_now('vla_controller', 'inferences')
    assert graph.count_now('vla_controller', 'inferences') == inferences
    assert graph.is_at_rest()
    graph.say('walk forward')
    graph.wait_for(lambda: graph.speed > 0.1, 'what is asked for plainly is done')
