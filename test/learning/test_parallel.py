"""Processes that train together: one value, one gradient, and no waiting for the dead."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from vla_humanoid_control.learning.parallel import lead

# In a module of its own, which new processes can import.
_SOURCE = """
import os
import signal
import torch

def gradients(rank):
    parameters = [torch.zeros(2, 3), torch.zeros(4)]
    for i, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, 10.0 * i + rank)
    return parameters

def work(team):
    for turn in range(3):
        assert team.follow(-1.0) == turn
        team.average(gradients(team.rank))

def die(team):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def team_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / 'team_work.py').write_text(_SOURCE, encoding='utf-8')
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module('team_work')
    del sys.modules['team_work']


def test_gradients_are_the_mean_over_the_team_and_the_leader_is_followed(team_work: ModuleType
                                                                            ) -> None:
    with lead(team_work.work, (), 3, 10) as team:
        for turn in range(3):
            assert team.follow(float(turn)) == turn
            parameters = team_work.gradients(team.rank)
            team.average(parameters)
            for i, parameter in enumerate(parameters):
                assert parameter.grad is not None
                assert torch.all(parameter.grad == 10.0 * i + 1)  # ranks 0, 1, 2


def test_a_team_of_one_keeps_its_gradients(team_work: ModuleType) -> None:
    with lead(team_work.work, (), 1, 10) as team:
        assert team.follow(0.5) == 0.5
        parameters = team_work.gradients(7)
        team.average(parameters)
        assert parameters[0].grad is not None and torch.all(parameters[0].grad == 7)


def test_a_dead_process_ends_the_wait_with_an_error(team_work: ModuleType) -> None:
    with (pytest.raises(RuntimeError, match='ended before its time'),
          lead(team_work.die, (), 2, 10) as team):
        team.follow(1.0)
