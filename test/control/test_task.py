"""The task state machine, driven by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from g1 import needs_g1

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.language.intake import Instruction, parse_command
from vla_humanoid_control.robot.anatomy import Gestures
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.types import TaskState

GO = Instruction('go to the red box', False)
WAVE = Instruction('wave', False)
STOP = Instruction('stop', True)
STILL = np.zeros(5, np.float32)


def running(config: TaskConfig | None = None, now_s: float = 10.0) -> TaskManager:
    """A task whose gate has just opened."""
    task = TaskManager(config or TaskConfig())
    task.command(GO, now_s)
    task.on_inference(0.0, STILL, now_s)
    task.on_gate(True, '', now_s)
    return task


def test_idle_until_a_command() -> None:
    task = TaskManager(TaskConfig())
    task.on_gate(True, '', 0.0)
    task.on_inference(1.0, STILL, 0.0)
    task.tick(100.0)
    assert task.state is TaskState.IDLE and task.wording is None and task.describe() == 'IDLE'


def test_command_runs_and_describes_itself() -> None:
    task = running()
    assert task.state is TaskState.RUNNING and task.wording == GO.text
    assert task.describe() == 'RUNNING: go to the red box'


def test_done_needs_consecutive_inferences_with_the_gate_open() -> None:
    task = running()
    ticks = TaskConfig().done_ticks
    for progress in (*[0.96] * (ticks - 1), 0.5, *[0.96] * (ticks - 1)):
        task.on_inference(progress, STILL, 11.0)
    assert task.state is TaskState.RUNNING
    task.on_inference(0.95, STILL, 11.1)
    assert task.state is TaskState.DONE and task.wording is None


@pytest.mark.parametrize('progress', [math.nan, 0.84])
def test_progress_below_the_threshold_or_nan_is_not_done(progress: float) -> None:
    task = running()
    for _ in range(10):
        task.on_inference(progress, STILL, 11.0)
    assert task.state is TaskState.RUNNING


def test_not_done_while_the_gate_is_closed() -> None:
    task = TaskManager(TaskConfig())
    task.command(GO, 0.0)
    for _ in range(10):
        task.on_gate(False, 'low', 0.1)
        task.on_inference(1.0, STILL, 0.1)
    assert task.state is TaskState.RUNNING


def test_closed_gate_holds_retries_with_other_words_then_fails_and_stays_failed() -> None:
    task = running(TaskConfig(hold_timeout_s=2.0, max_retries=3, time_limit_s=100.0))
    task.on_gate(False, 'confidence 0.20 below 0.60', 11.0)
    assert task.state is TaskState.HELD and 'confidence 0.20' in task.describe()
    now_s, wordings, generations = 11.0, [task.wording], [task.generation]
    for attempt in (1, 2, 3):
        now_s += 2.1
        task.tick(now_s)
        assert task.state is TaskState.RETRYING and task.attempt == attempt
        task.on_inference(0.0, STILL, now_s)
        task.on_gate(False, 'confidence 0.20 below 0.60', now_s)
        assert task.state is TaskState.RETRYING
        wordings.append(task.wording)
        generations.append(task.generation)
    assert len(set(wordings)) >= 3 and len(set(generations)) == 4
    task.tick(now_s + 2.1)
    assert task.describe() == 'FAILED: go to the red box (confidence 0.20 below 0.60)'
    task.on_gate(True, '', now_s + 3)
    task.on_inference(1.0, STILL, now_s + 3)
    task.tick(now_s + 1000)
    assert task.state is TaskState.FAILED
    task.command(GO, now_s + 1001)
    assert task.state is TaskState.RUNNING and task.attempt == 0


def test_a_retry_that_gains_confidence_runs_again_and_keeps_elapsed_time() -> None:
    task = running()
    task.on_gate(False, 'low', 13.0)
    task.tick(15.5)
    assert task.state is TaskState.RETRYING
    identity = task.instruction_id
    task.on_inference(0.1, STILL, 15.6)
    task.on_gate(True, '', 15.6)
    assert task.state is TaskState.RUNNING and task.reason == ''
    assert task.elapsed_s(16.6) == pytest.approx(4.0) and task.instruction_id == identity


def test_elapsed_counts_open_time_only_and_begins_anew_with_an_instruction() -> None:
    task = running(now_s=10.0)
    assert task.elapsed_s(12.0) == pytest.approx(2.0)
    task.on_gate(False, 'low', 12.0)
    assert task.elapsed_s(13.0) == pytest.approx(2.0)
    task.on_gate(True, '', 13.0)
    assert task.elapsed_s(14.0) == pytest.approx(3.0)
    task.command(WAVE, 14.0)
    assert task.elapsed_s(15.0) == 0.0


def test_a_start_whose_gate_never_opens_shows_as_held() -> None:
    task = TaskManager(TaskConfig(settle_s=0.5))
    task.command(Instruction('file my taxes', False), 0.0)
    task.on_inference(0.0, STILL, 0.1)
    task.on_gate(False, 'confidence 0.05 below 0.60', 0.1)
    task.tick(0.4)
    assert task.describe() == 'RUNNING: file my taxes'
    task.tick(0.6)
    assert task.describe() == 'HELD: file my taxes (confidence 0.05 below 0.60)'


def test_a_gate_left_open_by_the_instruction_before_does_not_count() -> None:
    task = running()
    task.command(WAVE, 11.0)
    task.on_gate(True, '', 11.02)
    assert task.elapsed_s(11.5) == 0.0
    task.on_inference(0.0, STILL, 11.5)
    assert task.elapsed_s(11.6) == pytest.approx(0.1)


def test_the_same_command_again_changes_nothing() -> None:
    task = running()
    generation = task.generation
    task.command(Instruction('Go to the red box', False), 12.0)
    assert task.generation == generation and task.elapsed_s(12.0) == pytest.approx(2.0)


def test_a_newer_command_replaces_the_older_and_outdates_its_results() -> None:
    task = running()
    generation = task.generation
    task.command(WAVE, 12.0)
    assert task.generation > generation and task.wording == 'wave'


def test_stop_command_ends_the_task_as_done_and_outdates_its_results() -> None:
    task = running()
    generation = task.generation
    task.command(STOP, 11.0)
    assert task.describe() == 'DONE: stop' and task.wording is None
    assert task.generation > generation


def test_an_abort_fails_what_runs_with_its_reason_and_outdates_its_results() -> None:
    task = running()
    generation = task.generation
    task.abort('ESTOP: emergency stop (topic)', 11.0)
    assert task.describe() == 'FAILED: go to the red box (ESTOP: emergency stop (topic))'
    assert task.generation > generation and task.wording is None


@pytest.mark.parametrize('said', [None, STOP])
def test_an_abort_of_nothing_changes_nothing(said: Instruction | None) -> None:
    """DONE and FAILED stay until the next command."""
    task = TaskManager(TaskConfig())
    if said is not None:
        task.command(said, 1.0)
    before = task.describe()
    task.abort('ESTOP: emergency stop (topic)', 11.0)
    assert task.describe() == before


def test_a_refused_command_says_why_and_never_begins() -> None:
    """Regression: said during an emergency stop, it ended as IDLE without a reason."""
    task = running()
    generation = task.generation
    task.refuse(WAVE, 'refused in ESTOP: emergency stop (topic)', 11.0)
    assert task.describe() == 'FAILED: wave (refused in ESTOP: emergency stop (topic))'
    assert task.generation > generation and task.wording is None
    task.command(WAVE, 12.0)
    assert task.describe() == 'RUNNING: wave'


@pytest.mark.parametrize('unclear', ['', "'not' is a negation"])
def test_what_must_not_be_acted_on_ends_the_task_and_fails_without_a_retry(unclear: str) -> None:
    """'do not walk forward' was given to the policy like any other instruction."""
    task = TaskManager(TaskConfig(), unreadable=lambda text: (
        'too long' if text == 'do not wave' else ''))
    task.command(GO, 10.0)
    before = task.generation
    task.command(Instruction('do not wave', False, unclear), 11.0)
    for now_s in (11.0, 14.0, 50.0):
        task.on_gate(True, '', now_s)
        task.on_inference(0.99, STILL, now_s)
        task.tick(now_s)
        assert task.wording is None and task.attempt == 0
        assert task.describe() == f'FAILED: do not wave ({unclear or "too long"})'
    assert task.generation > before
    task.command(GO, 51.0)
    assert task.wording == GO.text


@needs_g1
def test_a_gesture_that_the_robot_does_not_know_is_refused_at_once() -> None:
    robot = load_robot('unitree_g1')  # without a neck
    task = TaskManager(TaskConfig(), robot=robot)
    task.command(parse_command('wave, then look up'), 10.0)
    assert task.wording is None
    assert task.describe().endswith("(unitree_g1 cannot do this: 'look up')")
    task.command(parse_command('wave'), 11.0)
    assert task.wording == 'wave'
    unknown = TaskManager(TaskConfig(), robot=replace(robot, gestures=Gestures()))
    unknown.command(parse_command('look up'), 12.0)  # whose file says nothing of gestures
    assert unknown.wording == 'look up'


def test_stop_without_words_ends_idle() -> None:
    task = running()
    task.stop(11.0)
    assert task.state is TaskState.IDLE


def test_time_limit_fails() -> None:
    task = running(TaskConfig(time_limit_s=5.0))
    task.tick(14.9)
    assert task.state is TaskState.RUNNING
    task.tick(15.1)
    assert task.state is TaskState.FAILED and '5 s' in task.reason


def test_policy_errors_retry_at_most_n_times() -> None:
    task = running(TaskConfig(max_retries=2))
    states = []
    for _ in range(5):
        task.on_policy_error('inference failed: boom', False, 11.0)
        states.append(task.state)
    assert states == [TaskState.RETRYING] * 2 + [TaskState.FAILED] * 3
    assert task.reason == 'inference failed: boom'


def test_a_policy_that_is_away_holds_and_uses_up_no_retry_until_it_is_back() -> None:
    task = running(TaskConfig(time_limit_s=30.0, hold_timeout_s=2.0))
    wording, elapsed_s = task.wording, task.elapsed_s(11.0)
    for now_s in np.arange(11.0, 21.0, 0.5):
        task.on_policy_away('the server is away', now_s)
        task.on_gate(True, '', now_s)  # said before the robot was held
        task.tick(now_s)
        assert task.state is TaskState.HELD and task.reason == 'the server is away'
    assert (task.attempt, task.wording) == (0, wording)
    task.on_gate(False, 'confidence is low', 21.0)
    task.on_inference(0.1, STILL, 21.0)
    assert task.elapsed_s(21.0) == elapsed_s
    task.tick(22.9)  # the wait for the gate begins with the answer
    assert task.attempt == 0 and task.reason == 'confidence is low'
    task.on_gate(True, '', 22.9)
    assert task.state is TaskState.RUNNING


def test_a_policy_that_stays_away_fails_with_the_reason() -> None:
    task = running(TaskConfig(time_limit_s=5.0))
    task.on_policy_away('the server is away', 11.0)
    task.tick(15.1)
    assert task.state is TaskState.FAILED
    assert task.reason == 'not done after 5 s: the server is away'
    task.on_policy_away('the server is away', 16.0)
    assert task.state is TaskState.FAILED
    task.command(Instruction('turn left', False), 17.0)
    assert task.state is TaskState.RUNNING and not task.reason


def test_fatal_policy_error_fails_at_once() -> None:
    task = running()
    task.on_policy_error('out of memory', True, 11.0)
    assert task.state is TaskState.FAILED and task.reason == 'out of memory'


@pytest.mark.parametrize('fields', [{'time_limit_s': 0.0}, {'time_limit_s': math.nan},
                                    {'max_retries': -1}, {'hold_timeout_s': math.inf},
                                    {'done_threshold': 0.0}, {'done_ticks': 0},
                                    {'time_limit_s': 1e12}, {'hold_timeout_s': 1e12},
                                    {'max_retries': 10**9}, {'done_ticks': 10**9}])
def test_nonsense_configuration_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        TaskConfig(**fields)  # type: ignore[arg-type]


def acted(task: TaskManager, progress: float, *, joint: float = 0.0, turn: float = 0.0,
          seconds: float = 2.5, from_s: float = 20.0) -> None:
    """Infer at 10 Hz, with a joint target that goes to and fro and a turning base."""
    for tick in range(round(seconds * 10) + 1):
        action = np.array([0, 0, turn, joint * (tick % 2), 0.5], np.float32)
        task.on_inference(progress, action, from_s + tick / 10)


def test_done_where_the_policy_comes_to_rest_though_it_is_not_sure() -> None:
    """Regression: a hand that had arrived stayed there until the time was up."""
    task = running()
    acted(task, 0.6, seconds=1.9)
    assert task.state is TaskState.RUNNING
    acted(task, 0.6, joint=0.1, seconds=0.1, from_s=22.0)
    assert task.state is TaskState.DONE


@pytest.mark.parametrize('moving', [{'turn': 0.2}, {'joint': 0.4}])
def test_not_done_while_it_wants_to_move(moving: dict[str, float]) -> None:
    task = running()
    acted(task, 0.6, **moving)
    assert task.state is TaskState.RUNNING
    acted(task, 0.6, from_s=23.0)
    assert task.state is TaskState.DONE


def test_not_done_at_rest_while_progress_grows_is_low_or_has_never_grown() -> None:
    task = running()
    acted(task, 0.4)
    for tick in range(30):
        task.on_inference(0.5 + 0.01 * tick, STILL, 23 + tick / 10)
    assert task.state is TaskState.RUNNING
    task.command(WAVE, 30.0)
    acted(task, 0.6, from_s=30.1)  # a policy that always says so
    assert task.state is TaskState.RUNNING


def test_rest_begins_anew_when_the_gate_opens_again() -> None:
    task = running()
    acted(task, 0.6, seconds=1.8)
    task.on_gate(False, 'confidence 0.20 below 0.60', 21.85)
    task.on_inference(0.6, STILL, 21.9)
    task.on_gate(True, '', 21.95)
    acted(task, 0.6, seconds=1.9, from_s=22.0)
    assert task.state is TaskState.RUNNING
    acted(task, 0.6, seconds=0.1, from_s=24.0)
    assert task.state is TaskState.DONE


def test_what_safety_stops_is_not_done() -> None:
    """Regression: a base that heard no command was at its goal after the time that it takes."""
    task = TaskManager(TaskConfig(hold_timeout_s=1.0, time_limit_s=5.0))
    task.command(GO, 10.0)
    task.on_gate(True, '', 10.0)
    task.on_inference(0.3, np.zeros(4, np.float32), 10.1)
    assert task.state is TaskState.RUNNING and task.elapsed_s(10.2) > 0.0
    task.on_safety('STOP: /cmd_vel: nobody listens', 10.2)
    assert task.describe().endswith('(STOP: /cmd_vel: nobody listens)')
    assert task.state is TaskState.HELD
    elapsed_s = task.elapsed_s(10.2)
    for step in range(40):
        task.on_gate(True, '', 10.2 + step * 0.1)
        task.on_inference(1.0, np.zeros(4, np.float32), 10.2 + step * 0.1)
        task.tick(10.2 + step * 0.1)
        assert task.state is TaskState.HELD
    assert task.elapsed_s(14.2) == elapsed_s and task.attempt == 0
    task.on_safety('', 14.2)
    assert task.state is TaskState.RUNNING
    task.on_safety('STOP: scan stale', 14.3)
    task.tick(15.1)
    assert task.describe().endswith('(not done after 5 s: STOP: scan stale)')
    assert task.state is TaskState.FAILED
