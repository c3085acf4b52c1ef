"""What a request leaves open is asked for; nothing moves meanwhile, and the answer goes on."""

import numpy as np
import pytest

from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.control.task import TaskManager
from vla_humanoid_control.language.intake import Instruction, parse_command
from vla_humanoid_control.language.reader import why_unplaced
from vla_humanoid_control.types import TaskState


def told(text: str, task: TaskManager, now_s: float = 0.0) -> None:
    parsed = parse_command(text)
    assert isinstance(parsed, Instruction)
    task.command(parsed, now_s)


def manager() -> TaskManager:
    return TaskManager(TaskConfig(answer_timeout_s=5.0), unreadable=why_unplaced)


@pytest.mark.parametrize(('text', 'question', 'answer', 'steps'), [
    ('go to the box', 'Which box: the red, the green, the blue or the yellow one?',
     'the crimson one please', ['go to the red box']),
    ('touch the red one', 'Which red one: the box, the ball, the cup or the cone?', 'the mug',
     ['touch the red cup']),
    ('raise your hand', 'Which hand: left or right?', 'left', ['raise your left hand']),
    ('turn 90 degrees', 'Which way: left or right?', 'to the right', ['turn right']),
    ('go to the ball and wave', 'Which ball: the red, the green, the blue or the yellow one?',
     'blue', ['go to the blue ball', 'wave'])])
def test_what_is_left_open_is_asked_for(text: str, question: str, answer: str, steps: list[str]
                                        ) -> None:
    task = manager()
    told(text, task)
    assert task.describe() == f'ASKING: {text} ({question})'
    assert task.wording is None and not task.is_active
    assert task.question is not None
    option = task.question.answer(answer)
    assert option is not None and [step.text for step in option.steps] == steps


def test_an_answer_that_names_no_option_is_none() -> None:
    task = manager()
    told('go to the box', task)
    assert task.question is not None
    for words in ('wave', 'the red or the blue one', 'the purple one', 'go away', ''):
        assert task.question.answer(words) is None


def test_a_question_waits_so_long_and_no_longer() -> None:
    task = manager()
    told('go to the box', task, 1.0)
    task.tick(5.9)
    assert task.state is TaskState.ASKING
    task.tick(6.1)
    assert task.state is TaskState.FAILED and task.question is None
    assert 'no answer within 5 s' in task.reason


@pytest.mark.parametrize('text', ['stop', 'walk forward'])
def test_another_command_takes_the_place_of_a_question(text: str) -> None:
    task = manager()
    told('walk backward', task)
    told('go to the box', task, 1.0)
    assert task.state is TaskState.ASKING  # and what ran before has ended
    told(text, task, 2.0)
    assert task.question is None
    assert task.state is (TaskState.DONE if text == 'stop' else TaskState.RUNNING)
    task.on_inference(1.0, np.zeros(4, np.float32), 2.1)
