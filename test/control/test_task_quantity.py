"""Steps with a quantity in the task state machine: a base that is moved by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.control.quantity import AXES, Way
from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.language.intake import Instruction
from vla_humanoid_control.language.plan import Quantity, Step, Unit
from vla_humanoid_control.types import TaskState

STILL = np.zeros(5, np.float32)
SPEED, AHEAD = 0.4, 0.1  # of the base, and what it still goes when it is stopped [m/s, m; rad]


class Base:
    """A task, and a base that goes in the direction of its step whenever the policy acts."""

    def __init__(self, *steps: Step, config: TaskConfig | None = None) -> None:
        self.task = TaskManager(config or TaskConfig())
        self.now_s, self.done = 10.0, 0.0
        self.begun: list[str | None] = []
        self.sign, self.keys = 1.0, [step.key for step in steps]
        self.task.command(Instruction('so much', False, steps=steps), self.now_s)
        self.words()

    def words(self) -> None:
        """The gate opens on a first answer."""
        self.task.on_gate(True, '', self.now_s)
        self.task.on_inference(0.0, STILL, self.now_s)
        self.begun.append(self.task.wording)

    def go(self, way: float, after: float = AHEAD, still_s: float = 0.5) -> None:
        """Come so far, unless the task stops the base before; then stand for a while."""
        key = self.keys[self.task.step_index]
        until = self.done + way
        while self.task.wording is not None and self.done < until - 1e-9:
            self.now_s += 0.02
            self.done += 0.02 * SPEED
            self._tell(key, AHEAD)
        self.done += after
        for _ in range(round(still_s / 0.02)):
            self.now_s += 0.02
            self._tell(key, 0.0)

    def says_done(self) -> None:
        generation = self.task.generation
        while self.task.generation == generation:
            self.task.on_inference(1.0, STILL, self.now_s)

    def _tell(self, key: str, ahead: float) -> None:
        axis = np.array(AXES[key]) * self.sign
        self.task.on_way(Way(axis * self.done, axis * ahead), self.now_s)


def metres(value: float) -> Step:
    return Step('walk forward', Quantity(value, Unit.METRES), 'move:forward')


def degrees(value: float, side: str = 'left') -> Step:
    return Step(f'turn {side}', Quantity(math.radians(value), Unit.RADIANS), f'turn:{side}')


def test_it_is_stopped_before_the_value_is_reached_and_done_once_it_stands() -> None:
    base = Base(metres(0.5))
    generation = base.task.generation
    base.go(0.6, after=0.0, still_s=0.1)
    assert base.task.wording is None and base.task.is_between and base.task.is_active
    assert base.task.generation > generation  # an answer that is under way comes too late
    assert base.task.describe() == 'RUNNING: so much'
    assert base.done == pytest.approx(0.41, abs=0.01)  # a centimetre past it, with AHEAD
    base.go(0.0)
    assert base.task.describe() == 'DONE: so much'


@pytest.mark.parametrize('side', ['left', 'right'])
def test_more_than_a_full_turn_takes_as_many_beginnings_as_it_needs(side: str) -> None:
    base = Base(degrees(450.0, side))
    while base.task.is_active and len(base.begun) < 10:
        base.go(math.radians(86))
        if base.task.wording is not None:
            base.says_done()
            assert base.task.is_between and base.task.describe() == 'RUNNING: so much'
            base.words()
    assert base.task.state is TaskState.DONE and base.begun == [f'turn {side}'] * 5
    assert base.done == pytest.approx(math.radians(450), abs=math.radians(2))


def test_a_beginning_is_new_to_the_policy_and_the_measure_goes_on() -> None:
    base = Base(metres(2.0))
    base.go(0.6)
    before = (base.task.instruction_id, base.task.step_id)
    base.says_done()
    assert base.task.instruction_id > before[0] and base.task.step_id == before[1]
    assert base.task.elapsed_s(base.now_s) == 0.0
    assert base.task.step == '1 of 1: walk forward, went 0.7 m of 2 m'


def test_a_policy_that_is_done_at_once_fails_with_what_was_measured() -> None:
    base = Base(metres(2.0))
    base.go(0.6)
    base.says_done()
    base.words()
    base.says_done()
    assert base.task.wording is None  # it is stopped, and judged when it stands
    base.go(0.0, after=0.0)
    assert base.task.describe() == 'FAILED: so much (went 0.7 m of 2 m)'


def test_a_base_that_goes_the_wrong_way_fails() -> None:
    base = Base(degrees(90.0, 'right'))
    base.sign = -1.0
    base.go(1.0)
    base.says_done()
    base.go(0.0, after=0.0)
    assert base.task.describe() == 'FAILED: so much (turned -63 of 90 degrees)'


def test_a_base_that_rolls_on_for_too_long_fails() -> None:
    base = Base(metres(1.0))
    base.go(1.0, after=0.4)
    assert base.task.describe() == 'FAILED: so much (went 1.31 m of 1 m)'


def test_a_base_that_stops_too_soon_goes_on() -> None:
    base = Base(metres(1.0))
    base.go(1.0, after=0.0)
    assert base.task.wording == 'walk forward' and base.task.is_between
    base.words()
    base.go(1.0)
    assert base.task.state is TaskState.DONE


def test_what_is_nearly_there_when_the_policy_is_done_is_right() -> None:
    base = Base(degrees(90.0))
    base.go(math.radians(87) - AHEAD)
    base.says_done()
    assert base.task.wording is None
    base.go(0.0, after=0.0)
    assert base.task.state is TaskState.DONE


def test_the_measure_waits_while_the_gate_is_closed_and_retries_keep_it() -> None:
    base = Base(metres(1.0), config=TaskConfig(hold_timeout_s=1.0))
    base.go(0.4)
    base.task.on_gate(False, 'low', base.now_s)
    base.go(0.0, after=0.0, still_s=1.0)
    assert base.task.state is TaskState.HELD
    base.task.tick(base.now_s + 0.2)
    assert base.task.state is TaskState.RETRYING and base.task.wording != 'walk forward'
    assert base.task.step.endswith('went 0.5 m of 1 m')
    base.words()
    base.go(1.0)
    assert base.task.state is TaskState.DONE and base.done == pytest.approx(1.0, abs=0.02)


def test_nothing_but_the_base_counts_while_it_is_stopped() -> None:
    base = Base(metres(0.5))
    base.go(0.6, still_s=0.1)
    for what in range(3):
        base.task.on_gate(False, 'there is no answer of the policy', base.now_s)
        base.task.on_safety('STOP: scan stale' * (what % 2), base.now_s)
        base.task.on_policy_error('inference hangs', False, base.now_s)
        base.task.on_policy_away('away', base.now_s)
        base.task.tick(base.now_s)
    assert base.task.describe() == 'RUNNING: so much' and base.task.attempt == 0
    base.task.on_safety('', base.now_s)
    base.go(0.0, after=0.0)
    assert base.task.state is TaskState.DONE


@pytest.mark.parametrize(('step', 'limit_s', 'figures'), [
    (metres(2.0), 50.0, 'went 0.4 m of 2 m'), (degrees(360.0), 61.4, 'turned 17 of 360 degrees')])
def test_the_time_limit_grows_with_the_quantity(step: Step, limit_s: float, figures: str) -> None:
    """By the time that a slow robot takes: 0.1 m/s and 0.2 rad/s, pauses included."""
    base = Base(step)
    base.go(0.2, after=0.2 if step.key == 'move:forward' else 0.1)
    base.task.tick(10.0 + limit_s - 0.1)
    assert base.task.is_active
    base.task.tick(10.0 + limit_s + 0.1)
    assert base.task.describe() == f'FAILED: so much (not done after {limit_s:g} s, {figures})'


def test_a_quantity_in_the_middle_is_followed_by_the_next_step() -> None:
    base = Base(Step('wave'), metres(0.5), Step('look up'))
    base.task.on_way(Way(np.ones(3), np.zeros(3)), base.now_s)  # waving is not measured
    base.says_done()
    assert base.task.describe() == 'RUNNING: so much (step 2 of 3: walk forward)'
    base.words()
    base.go(0.6)
    assert base.task.wording == 'look up' and base.task.is_between
    base.task.on_way(Way(np.ones(3), np.zeros(3)), base.now_s)
    assert base.task.describe() == 'RUNNING: so much (step 3 of 3: look up)'


def test_a_quantity_that_fails_ends_what_comes_after_it() -> None:
    base = Base(metres(1.0), Step('wave'))
    base.says_done()
    base.go(0.0, after=0.0)
    assert base.task.describe() == \
        'FAILED: so much (step 1 of 2, walk forward: went 0 m of 1 m)'


@pytest.mark.parametrize('is_stopping', [True, False])
def test_a_stop_or_an_emergency_stop_ends_it(is_stopping: bool) -> None:
    for ends in ('stop', 'abort'):
        base = Base(metres(1.0), Step('wave'))
        base.go(2.0 if is_stopping else 0.3, still_s=0.1)
        assert (base.task.wording is None) is is_stopping
        if ends == 'stop':
            base.task.command(Instruction('stop', True), base.now_s)
        else:
            base.task.abort('ESTOP: button', base.now_s)
        line = base.task.describe()
        assert line == ('DONE: stop' if ends == 'stop' else
                        'FAILED: so much (step 1 of 2, walk forward: ESTOP: button)')
        base.task.on_way(Way(np.array([9.0, 0, 0]), np.zeros(3)), base.now_s + 1.0)
        base.task.on_way(Way(np.array([1.0, 0, 0]), np.zeros(3)), base.now_s + 2.0)
        assert base.task.describe() == line and base.task.wording is None
