"""ROS domains that a graph has to itself."""

from __future__ import annotations

import itertools
import os
import socket
from pathlib import Path

import pytest

from vla_humanoid_control.graph import domain
from vla_humanoid_control.graph.domain import claimed_domain, own_domain
from vla_humanoid_control.support.errors import UserError


def test_domains_claimed_together_differ() -> None:
    with claimed_domain() as first, claimed_domain() as second:
        assert first != second and {first, second} <= set(range(1, 101))


def test_a_domain_where_dds_listens_is_in_use() -> None:
    with claimed_domain() as number:
        assert domain._is_silent(number)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
            participant.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as DDS does
            participant.bind(('127.0.0.1', 7410 + 250 * number))
            assert not domain._is_silent(number)


def test_a_domain_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def is_silent(number: int) -> bool:
        asked.append(number)
        return len(asked) == 3

    monkeypatch.setattr(domain, '_is_silent', is_silent)
    with claimed_domain() as number:
        assert number == asked[-1] and len(set(asked)) == 3
    monkeypatch.setattr(domain, '_is_silent', lambda _number: False)
    with pytest.raises(UserError, match='in use'), claimed_domain():
        pass


def test_a_claim_holds_for_every_user_and_leaves_nothing_behind(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: lock files of another person were in the way for ever, and one's own needed a
    folder that can be written.
    """
    for name in ('TMPDIR', 'TEMP', 'TMP'):
        monkeypatch.setenv(name, str(tmp_path / 'nowhere'))
    monkeypatch.setattr(domain.os, 'getpid', lambda: 40)
    monkeypatch.setattr(domain, '_claims', itertools.count())
    monkeypatch.setattr(domain, '_is_silent', lambda _number: True)
    with claimed_domain() as number:
        claims = Path('/proc/net/unix').read_text().split()
        assert f'@vla_humanoid_control/domain/{number}' in claims
        monkeypatch.setattr(domain, '_claims', itertools.count())  # the same place to begin
        with claimed_domain() as other:
            assert other != number
    claims = Path('/proc/net/unix').read_text().split()
    assert f'@vla_humanoid_control/domain/{other}' not in claims
    assert not list(tmp_path.iterdir())


def test_without_a_choice_of_a_person_a_graph_has_a_domain_of_its_own(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: a demo beside a robot's graph published into it."""
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    with own_domain() as name:
        assert os.environ['ROS_DOMAIN_ID'] == name and int(name) > 0
        with own_domain() as inner:
            assert inner == name
    assert 'ROS_DOMAIN_ID' not in os.environ


@pytest.mark.parametrize('chosen', ['0', '42'])
def test_the_choice_of_a_person_stands(chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('ROS_DOMAIN_ID', chosen)
    with own_domain() as name:
        assert name == os.environ['ROS_DOMAIN_ID'] == chosen
    assert os.environ['ROS_DOMAIN_ID'] == chosen


def test_evaluation_through_the_nodes_has_a_domain_of_its_own(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The demo uses it, too. For as long as the graph is up, and no longer."""
    pytest.importorskip('rclpy')
    from vla_humanoid_control.clients import evaluation
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    seen: list[str | None] = []

    def graph_is_made(*_: object, **__: object) -> None:
        seen.append(os.environ.get('ROS_DOMAIN_ID'))
        raise UserError('far enough')

    monkeypatch.setattr(evaluation, 'ProcessGroup', graph_is_made)
    with pytest.raises(UserError, match='far enough'):
        list(evaluation.evaluate([], 'humanoid', 'scripted', log=tmp_path / 'graph.log'))
    assert seen[0] is not None and int(seen[0]) > 0
    assert 'ROS_DOMAIN_ID' not in os.environ
