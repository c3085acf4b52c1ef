"""Instruction intake: refusals, stop words, rewording."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_humanoid_control.language.intake import (
    Instruction,
    Rejection,
    is_stop,
    parse_command,
    reword,
)
from vla_humanoid_control.language.reader import warm_up


@pytest.mark.parametrize('text', ['', '   ', '\n\t', b'', 'x' * 501, 'x' * 10**6, b'x' * 10**6,
                                  'go\x00there', 'go\x1b[2J', b'\xff\xfe go', 'go \ufffd',
                                  'a\u202eb', '!!! 12 ?', 'go\nstop', '\ud800'])
def test_what_is_no_command_is_refused_with_a_reason(text: str | bytes) -> None:
    result = parse_command(text)
    assert isinstance(result, Rejection) and result.reason


@pytest.mark.parametrize(('text', 'expected'), [
    ('  go  to the red box \n', 'go to the red box'), (b'wave', 'wave'),
    ('geh zur roten Kiste', 'geh zur roten Kiste'), ('去红色的盒子', '去红色的盒子'),
    ('иди к красному кубу'.encode(), 'иди к красному кубу'), ('x' * 500, 'x' * 500)])
def test_commands_come_through_with_single_spaces(text: str | bytes, expected: str) -> None:
    result = parse_command(text)
    assert isinstance(result, Instruction) and not result.is_stop and result.text == expected


@pytest.mark.parametrize('text', [
    'stop', 'Stop!', 'STOP STOP STOP', 'please stop right now', 'stop moving', 'halt',
    'freeze',
    'hold it', 'stop, please', 'Robot, stop!', "don't move", 'don’t move', 'do not move',
    'stand still', 'stay where you are', 'come to a complete stop', 'cease all movement',
    'whoa', 'stop it now',
    'stop walking', 'stop turning left', 'hold your position', "that's enough",
    'could you stop please', 'emergency stop', 'stop what you are doing', 'ｓｔｏｐ', 'ok stop',
    'hey robot, freeze right there', 'stop immediately', 'no, stop',
    'bring yourself to a halt', 'stop right there', 'stay put', 'careful, halt', 'DANGER, FREEZE!',
    'um, come to a stop', 'oi, stop it', 'excuse me, stand still now', 'make an emergency stop',
    'stop walking if you do not mind', 'be so kind and put an end to all movement',
    'how about you stop whatever you are doing', 'stop, my friend', 'everybody stop'])
def test_stop_words(text: str) -> None:
    result = parse_command(text)
    assert isinstance(result, Instruction) and result.is_stop


@pytest.mark.parametrize('text', [
    'stpo', 'sotp', 'stopp', 'sto', 'st0p', 'stop mvoing', 'plese stop', 'hallt', 'freze',
    'stadn still', 'stayd where you are', 'cease all movemnt', 'cease all movment',
    "that's quite enough", "don't moev", 'stop imediately'])
def test_a_slip_of_the_finger_is_no_excuse_not_to_stop(text: str) -> None:
    assert is_stop(text)


@pytest.mark.parametrize('text', [
    '\ufeffstop', 'stop\u200b', '\u202astop\u202c', 'st\u00adop', 'stop\u2060', 'stop\nnow',
    'stop\tnow', 'stop\x00', 'stop\r\n', '\x1b[31mstop\x1b[0m', 'stop\u2028please',
    'stop \U0001f645\u200d\u2642\ufe0f', 'stop\u3164', 'stop\ue000', 'stop\ud800',
    "don\u200b't move",
    's\u0336t\u0336o\u0336p\u0336', b'stop\xff', b'\xff\xfestop', 'stop \ufffd', 'STOOOOP',
    'S T O P',
    's.t.o.p', '*stop*', '__stop__', 'stop-stop', 'stop' + '\u200b' * 600, 'stop ' * 300])
def test_a_stop_is_heard_through_what_nobody_sees(text: str | bytes) -> None:
    """The whole command was refused as holding control characters, and the task went on."""
    result = parse_command(text)
    assert isinstance(result, Instruction) and result.is_stop
    assert result.text.isprintable() and len(result.text) <= 500


@pytest.mark.parametrize('text', ['walk\u200b forward', 'walk\nforward',
'stop at the\u200b red box'])
def test_what_is_no_stop_is_still_refused_for_unseen_characters(text: str) -> None:
    assert isinstance(parse_command(text), Rejection)


def test_a_retry_says_nothing_that_the_policy_cannot_read() -> None:
    """'please ...' could push an instruction over the policy's limit, where it was cut."""
    instruction = Instruction('dig a big hole', False)
    wordings = [reword(instruction, n, lambda t: 'long' if len(t) > 14 else '') for n in range(6)]
    assert set(wordings) == {'dig a big hole'}


@pytest.mark.parametrize('text', [
    'top', 'hop', 'shop', 'step', 'step left', 'step back', 'go to the top', 'sit', 'stow it',
    'half turn', 'bait', 'hand', 'mold it', 'raise your hand', 'wave', 'tsop', 'chase it'])
def test_what_is_nearly_a_stop_word_is_none(text: str) -> None:
    assert not is_stop(text)


def test_a_stop_needs_neither_torch_nor_an_encoder() -> None:
    script = ('import sys; from vla_humanoid_control.language.intake import is_stop; '
              'assert is_stop("stpo"); assert not {"torch", "transformers", '
              '"vla_humanoid_control.language.encoder"} & set(sys.modules)')
    subprocess.run([sys.executable, '-c', script], check=True, timeout=60)


@pytest.mark.parametrize('text', [
    'stop at the red box', "don't stop", 'walk to the bus stop', 'go to the stop sign',
    'never stop', 'do not stop moving', 'hold the red box', 'freeze the peas',
    'wait for the ball',
    'walk forward and stop', 'go to the red box then stop', 'stand next to the red box',
    'stay left', 'stop by the blue cup', 'raise your right hand', 'hold up your hand',
    'keep walking', 'turn right', 'hello robot', 'sorry',
    'listen', 'be so kind and wave', 'careful, turn left', 'my friend, go to the red box',
    'right now go left', 'look around'])
def test_what_only_speaks_of_stopping_is_no_stop(text: str) -> None:
    result = parse_command(text)
    assert isinstance(result, Instruction) and not result.is_stop


def test_stop_words_are_quick_on_hostile_text() -> None:
    """A pattern that backtracks without end would hang the controller's callback."""
    import time
    warm_up()
    for text in ('please ' * 71, 'stop ' * 99 + 'x', 'right ' * 83, 'hold here ' * 50,
                 'stop it now right now ' * 22 + 'box', 'stop right here ' * 31 + 'q'):
        began = time.perf_counter()
        parse_command(text[:500])
        assert time.perf_counter() - began < 0.05, text[:40]


@given(st.one_of(st.text(), st.binary()))
def test_any_text_is_either_accepted_or_refused(text: str | bytes) -> None:
    result = parse_command(text)
    if isinstance(result, Instruction):
        assert result.text and all(reword(result, n) for n in range(4))


@pytest.mark.parametrize(('text', 'plain'), [
    ('Please walk over to the crimson crate', 'go to the red box'),
    ('could you head towards the azure sphere?', 'go to the blue ball'),
    ('approach the golden mug', 'go to the yellow cup'),
    ('touch the emerald pylon', 'reach for the green cone'),
    ('rotate to your left', 'turn left'),
    ('lift your right arm', 'raise your right hand'),
    ('please file my taxes', 'file my taxes')])
def test_first_retry_is_the_plain_imperative(text: str, plain: str) -> None:
    assert reword(Instruction(text, False), 1) == plain


def test_each_attempt_has_its_own_words_and_always_the_same_ones() -> None:
    instruction = Instruction('Please walk over to the crimson crate', False)
    wordings = [reword(instruction, n) for n in range(4)]
    assert wordings == ['Please walk over to the crimson crate', 'go to the red box',
                        'walk to the red box', 'move towards the red box']
    assert wordings == [reword(instruction, n) for n in range(4)]


@pytest.mark.parametrize('text', ['turn left', 'Wave', 'go to the red box', 'file my  taxes',
                                  'dig'])
def test_no_retry_says_the_same_again(text: str) -> None:
    """Regression: of what was plain from the beginning, the first retry changed nothing."""
    said = [reword(Instruction(text, False), n) for n in range(4)]
    assert len({' '.join(t.casefold().split()) for t in said}) == 4, said
