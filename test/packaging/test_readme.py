"""The README names what the graph offers."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vla_humanoid_control.support.names import full_name

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
OF_ROS = {'/clock', '/parameter_events', '/rosout'}


def names(kind: str) -> set[str]:
    """Topics or services of the three nodes that a robot runs, ROS's own ones apart."""
    tree = ElementTree.parse(ROOT / 'config' / 'sros2' / 'policy.xml')
    return {full_name(entry.text, '') for profile in tree.iter('profile')
            if profile.get('node') in ('vla_controller', 'confidence_monitor', 'safety_monitor')
            for entry in profile.iter(kind) if entry.text and entry.text[0] != '~'} - OF_ROS


@pytest.mark.parametrize('kind', ['topic', 'service'])
def test_every_topic_and_service_is_named(kind: str) -> None:
    assert names(kind)
    missing = {n for n in names(kind) if f'`{n.removesuffix("/compressed")}`' not in README}
    assert not missing


def test_every_goal_of_the_makefile_is_named() -> None:
    goals = re.search(r'^# (make .*)', (ROOT / 'Makefile').read_text(encoding='utf-8'), re.M)
    assert goals is not None
    for goal in set(goals[1].removeprefix('make ').split(' | ')) - {'setup', 'bench'}:
        assert f'make {goal}' in README, goal
