"""docs/parameters.md lists every parameter of every node as the code declares it.

`python test/nodes/test_parameters_page.py` brings its tables up to date.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('mujoco')

from vla_humanoid_control.confidence.gate import GateConfig
from vla_humanoid_control.control.config import ControllerConfig, TaskConfig
from vla_humanoid_control.nodes import (
    confidence_monitor,
    safety_monitor,
    simulator_parameters,
    unitree_bridge,
    vla_controller,
    walking_controller,
)
from vla_humanoid_control.perception.frames import FrameLimits
from vla_humanoid_control.ros.parameters import SHARED, _descriptions
from vla_humanoid_control.safety.config import SafetyConfig

pytestmark = pytest.mark.ros

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'parameters.md'
NODES = {
    'vla_controller': (('', vla_controller.ControllerParameters), ('', ControllerConfig),
                       ('frames.', FrameLimits), ('task.', TaskConfig),
                       ('language.', vla_controller.LanguageParameters)),
    'confidence_monitor': (('', confidence_monitor.MonitorParameters), ('gate.', GateConfig)),
    'safety_monitor': (('', safety_monitor.MonitorParameters), ('safety.', SafetyConfig)),
    'humanoid_sim': (('', simulator_parameters.SimulatorParameters),),
    'unitree_bridge': (('', unitree_bridge.BridgeParameters),),
    'walking_controller': (('', walking_controller.WalkingParameters),),
}


def shown(value: object) -> str:
    if isinstance(value, tuple):
        return '[' + ', '.join(map(str, value)) + ']'
    return str(value).lower() if isinstance(value, bool) else str(value)


def row(prefix: str, field: dataclasses.Field, descriptions: dict[str, str]) -> str:
    text = descriptions.get(field.name) or field.metadata['description']
    lower, upper = field.metadata.get('lower'), field.metadata.get('upper')
    bounds = '' if lower is None else f'{lower:g} to {upper:g}'
    when = 'at start' if field.metadata.get('fixed') else 'any time'
    default = f'`{shown(field.default)}`' if shown(field.default) else ''
    return f'| `{prefix}{field.name}` | {default} | {bounds} | {when} | {text} |'


def table(name: str) -> list[str]:
    return ['| parameter | default | bounds | can be set | meaning |', '|---|---|---|---|---|',
            *(row(prefix, field, _descriptions(kind)) for prefix, kind in NODES[name]
              for field in dataclasses.fields(kind))]


@pytest.mark.parametrize('name', NODES)
def test_page_lists_the_parameters_of(name: str) -> None:
    page = PAGE.read_text(encoding='utf-8')
    assert f'\n## {name}\n' in page
    assert section(page, name) == updated(section(page, name), name), __doc__


@pytest.mark.parametrize('name', NODES)
def test_every_number_of_a_node_has_bounds(name: str) -> None:
    """A limit without end is none: a task of 1e12 s, a gate that opens at 1e-9."""
    for prefix, kind in NODES[name]:
        for field in dataclasses.fields(kind):
            default = field.default[0] if isinstance(field.default, tuple) else field.default
            if isinstance(default, (int, float)) and not isinstance(default, bool):
                assert {'lower', 'upper'} <= set(field.metadata), f'{prefix}{field.name}'


def test_what_several_nodes_have_may_be_given_to_all_of_them() -> None:
    counts = Counter(field.name for node in NODES.values() for prefix, kind in node if not prefix
                     for field in dataclasses.fields(kind))
    assert {name for name, count in counts.items() if count > 1} == SHARED


def section(page: str, name: str) -> str:
    return page.partition(f'\n## {name}\n')[2].partition('\n## ')[0]


def updated(text: str, name: str) -> str:
    """The section of a node with its table as it should be."""
    return text.partition('\n| parameter ')[0] + '\n' + '\n'.join(table(name)) + '\n'


if __name__ == '__main__':
    written = PAGE.read_text(encoding='utf-8')
    for node in NODES:
        written = written.replace(section(written, node), updated(section(written, node), node))
    PAGE.write_text(written, encoding='utf-8')
