"""Names of topics and services, in a namespace and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from vla_humanoid_control.support.names import beside, folder_of, full_name, is_name


@pytest.mark.parametrize(('text', 'good'), [
    ('scan', True), ('/scan', True), ('camera/rgb/image_raw', True), ('_a1', True), ('', False),
    ('/', False), ('scan/', False), ('//scan', False), ('a//b', False), ('1a', False),
    ('a/1', False), ('the scan', False), ('~/scan', False), ('{node}/scan', False),
    ('läser', False), ('scan\n', False)])
def test_what_is_a_name(text: str, good: bool) -> None:
    assert is_name(text) is good


@pytest.mark.parametrize('name', ['vla_command', '/vla_command'])
def test_full_name(name: str) -> None:
    assert full_name(name, '') == '/vla_command'
    assert full_name(name, '/fleet/r1') == '/fleet/r1/vla_command'


@pytest.mark.parametrize(('topic', 'other'), [
    ('depth/image_raw', 'depth/camera_info'), ('/depth/image_raw', '/depth/camera_info'),
    ('depth', 'camera_info'), ('/depth', '/camera_info')])
def test_a_topic_beside_another_is_as_relative_as_that(topic: str, other: str) -> None:
    """The camera_info beside a depth image without a folder was looked for outside the namespace.
    """
    assert beside(topic, 'camera_info') == other


def test_robots_have_a_folder_each() -> None:
    """Two graphs in one folder wrote over one another's log."""
    assert folder_of('', Path('out')) == Path('out')
    assert folder_of('/fleet/r1', Path('out')) == Path('out', 'fleet', 'r1')
