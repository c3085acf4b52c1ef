"""Programs of another user, which Fast DDS's shared memory keeps apart."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vla_humanoid_control.graph import shared_memory


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Path]:
    """Of a participant in domain 3 that lives."""
    path = tmp_path / 'fastrtps_port8161_el'
    with path.open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield path


def test_a_participant_of_another_user_is_noticed(lock: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: a driver that root ran was missing, as if there were none."""
    assert not shared_memory.belongs_to_others(3, lock.parent)
    monkeypatch.setattr(shared_memory.os, 'geteuid', lambda: os.getuid() + 1)
    assert shared_memory.belongs_to_others(3, lock.parent)
    assert not shared_memory.belongs_to_others(2, lock.parent)
    assert not shared_memory.belongs_to_others(4, lock.parent)


def test_what_a_killed_process_left_is_nobody(tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'fastrtps_port8161_el').touch()
    monkeypatch.setattr(shared_memory.os, 'geteuid', lambda: os.getuid() + 1)
    assert not shared_memory.belongs_to_others(3, tmp_path)


def test_without_shared_memory_there_is_nobody(tmp_path: Path) -> None:
    assert not shared_memory.belongs_to_others(3, tmp_path / 'nowhere')
