"""What is typed, whatever bytes it is made of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TextIO

import pytest

from vla_humanoid_control.cli.terminal import LONGEST, Terminal
from vla_humanoid_control.language.intake import Instruction, Rejection, parse_command


class Typist:
    """The other end of a pipe."""

    def __init__(self) -> None:
        reading, self._writing = os.pipe()
        self.source: TextIO = os.fdopen(reading, encoding='utf-8')
        self.terminal = Terminal(self.source)

    def types(self, text: bytes) -> list[bytes]:
        os.write(self._writing, text)
        return self.terminal.lines()

    def hangs_up(self) -> list[bytes]:
        os.close(self._writing)
        return self.terminal.lines()


@pytest.fixture
def typist() -> Iterator[Typist]:
    playing = Typist()
    yield playing
    playing.source.close()


def test_bytes_that_are_no_utf8_end_nothing(typist: Typist) -> None:
    """Regression: the first such byte ended the thread that read, and with it the demo's ears."""
    lines = typist.types(b'turn \xff\xfeleft\nturn left\n')
    assert [type(parse_command(line)) for line in lines] == [Rejection, Instruction]
    assert not typist.terminal.has_ended


def test_a_line_comes_whole(typist: Typist) -> None:
    assert typist.types(b'turn ') == []
    assert typist.types('left\nforw\N{LATIN SMALL LETTER A WITH DIAERESIS}'.encode()[:-1]) \
        == [b'turn left']
    assert typist.types(b'\xa4rts\r\n\n') == ['forw\xe4rts\r'.encode(), b'']


def test_the_end_of_the_input_ends_the_last_line_too(typist: Typist) -> None:
    assert typist.types(b'stop') == []
    assert typist.hangs_up() == [b'stop']
    assert typist.terminal.has_ended
    assert typist.terminal.lines() == []


def test_a_line_without_end_takes_no_memory_and_is_no_command(typist: Typist) -> None:
    for _ in range(40):
        assert typist.types(b'x' * 50_000) == []
    line, = typist.types(b'\n')
    assert len(line) == LONGEST
    assert isinstance(parse_command(line), Rejection)
    assert typist.types(b'stop\n') == [b'stop']


def test_a_closed_input_is_at_its_end() -> None:
    """Regression: Python has None in its place, and the thread that read it ended in TypeError."""
    assert Terminal(None).has_ended and Terminal(None).lines() == []
    with open(os.devnull, encoding='utf-8') as source:
        pass
    assert Terminal(source).has_ended
