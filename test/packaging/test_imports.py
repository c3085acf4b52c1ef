"""The tiers hold: who may import ROS and torch, and what a missing declaration would break."""

import ast
import re
import runpy
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'vla_humanoid_control'
SOURCES = sorted(PACKAGE.rglob('*.py'))
LAUNCH = sorted((ROOT / 'launch').glob('*.launch.py'))

ROS = frozenset({
    'ament_index_python', 'builtin_interfaces', 'cv_bridge', 'diagnostic_msgs', 'geometry_msgs',
    'launch', 'launch_ros', 'lifecycle_msgs', 'nav_msgs', 'rcl_interfaces', 'rclpy',
    'rosgraph_msgs', 'sensor_msgs', 'std_msgs', 'std_srvs', 'tf2_ros', 'trajectory_msgs'})
# Module name to the name under which package.xml or setup.py declares it, where they differ.
DECLARED_AS = {'yaml': 'PyYAML', 'cv2': 'opencv-python', 'sklearn': 'scikit-learn',
               'skimage': 'scikit-image',
               'unitree_sdk2py': 'unitree-sdk2py-dimos',
               'zmq': 'pyzmq', 'grpc': 'grpcio', 'google': 'protobuf'}
# Declared though no file imports it, and where it is needed.
NOT_IMPORTED = {
    'mypy': 'Makefile', 'pytest_xdist': 'Makefile', 'ruff': 'Makefile',
    'types_pyyaml': 'mypy reads it',
    'pytest_timeout': 'timeout in pyproject.toml', 'tensorboard': 'torch.utils reads it',
    'setuptools': 'ament_python asks for it',
    'ros2launch': 'ros2 launch'}


def imports(path: Path) -> Iterator[str]:
    """Top-level packages that a file imports anywhere, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split('.')[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split('.')[0]


def modules_of_package(path: Path) -> Iterator[str]:
    """Modules of this package that a file imports, dotted."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith(PACKAGE.name))
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith(PACKAGE.name):
            yield str(node.module)
            yield from (f'{node.module}.{a.name}' for a in node.names)


FLOORS = (
    ('support', 'types'),
    ('state_text', 'interfaces', 'channels', 'robot', 'tasks', 'language', 'perception'),
    ('confidence', 'control', 'safety', 'models', 'data', 'unitree'),
    ('policy', 'pipeline', 'simulation'),
    ('evaluation', 'learning'),
    ('collection', 'graph', 'ros'),
    ('nodes', 'clients', 'cli'),
)
"""What may import what: the floors below, and its own. Between rooms of a floor, no circle."""
MAY_IMPORT_ROS = frozenset({'ros', 'nodes', 'clients', 'graph'})


def room(module: str) -> str:
    """Folder or file just below the package that a module is in."""
    return module.split('.')[1]


def rooms() -> dict[str, dict[str, set[str]]]:
    """Which rooms each room imports, and in which files."""
    found: dict[str, dict[str, set[str]]] = {}
    for path in SOURCES:
        here = room('.'.join(path.relative_to(ROOT).with_suffix('').parts))
        if here == '__init__':
            continue
        for module in modules_of_package(path):
            if module.count('.') and (there := room(module)) != here:
                found.setdefault(here, {}).setdefault(there, set()).add(path.name)
    return found


def test_imports_go_down_only() -> None:
    floor_of = {name: n for n, names in enumerate(FLOORS) for name in names}
    folders = {p.relative_to(PACKAGE).parts[0].removesuffix('.py') for p in SOURCES}
    assert folders - {'__init__'} == set(floor_of)
    upward = [f'{here} -> {there} in {sorted(files)}' for here, others in rooms().items()
              for there, files in others.items()
              if there in floor_of and floor_of[there] > floor_of[here]]
    assert not upward


def test_there_is_no_circle() -> None:
    """Between modules: a room whose parts need each other is one thing, and says so."""
    graph = {'.'.join(p.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): p
             for p in SOURCES}
    todo = {name: {m for m in modules_of_package(path) if m in graph and m != name}
            for name, path in graph.items()}
    while ready := [name for name, needs in todo.items() if not needs & set(todo)]:
        for name in ready:
            del todo[name]
    assert not todo


def test_there_is_no_circle_of_rooms() -> None:
    todo = {name: set(others) for name, others in rooms().items()}
    while ready := [name for name, needs in todo.items() if not needs & set(todo)]:
        for name in ready:
            del todo[name]
    assert not todo


def test_only_nodes_and_what_they_are_built_on_import_ros() -> None:
    guilty = [f'{p.relative_to(ROOT)}: {name}' for p in SOURCES
              if p.relative_to(PACKAGE).parts[0] not in MAY_IMPORT_ROS
              for name in imports(p) if name in ROS]
    assert not guilty


def reachable(start: str) -> set[Path]:
    """Files of this package that importing a module loads, at any depth."""
    seen: set[Path] = set()
    todo = [start]
    while todo:
        parts = todo.pop().split('.')
        file = ROOT.joinpath(*parts).with_suffix('.py')
        file = file if file.is_file() else ROOT.joinpath(*parts, '__init__.py')
        if file.is_file() and file not in seen:
            seen.add(file)
            todo += modules_of_package(file)
    return seen


@pytest.mark.parametrize('path', sorted((PACKAGE / 'safety').glob('*.py')), ids=lambda p: p.stem)
def test_safety_reaches_neither_torch_nor_ros(path: Path) -> None:
    forbidden = ROS | {'torch', 'transformers', 'rclpy'}
    for file in reachable(f'{PACKAGE.name}.safety.{path.stem}'):
        found = forbidden & set(imports(file))
        assert not found, f'{path.name} reaches {file.relative_to(ROOT)}, which imports {found}'


def declared() -> set[str]:
    """What package.xml and setup.py declare, in lower case, with '_' for '-'."""
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    names = {str(e.text) for e in manifest if e.tag.endswith('depend')}
    return {n.lower().replace('-', '_') for n in names | set().union(*requirements().values())}


def requirements() -> dict[str, set[str]]:
    """Extra of setup.py to the names that it requires, without versions; '' for always."""
    arguments = setup_arguments()
    groups = {'': arguments['install_requires'], **arguments['extras_require']}
    return {extra: {re.split(r'[\[=<>]', r)[0] for r in group}
            for extra, group in groups.items()}


def setup_arguments() -> dict:
    """What setup.py hands to setuptools, without setting up anything."""
    captured: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, 'setup', captured.update)
        runpy.run_path(str(ROOT / 'setup.py'))
    return captured


def test_every_import_is_declared() -> None:
    known = declared()
    missing = set()
    for path in [*SOURCES, *LAUNCH]:
        for name in set(imports(path)) - set(sys.stdlib_module_names) - {PACKAGE.name}:
            if DECLARED_AS.get(name, name).lower().replace('-', '_') not in known:
                missing.add(f'{path.relative_to(ROOT)}: {name}')
    assert not missing


def test_every_ros_import_is_in_package_xml() -> None:
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    names = {str(e.text) for e in manifest if e.tag.endswith('depend')}
    used = {name for p in [*SOURCES, *LAUNCH] for name in imports(p) if name in ROS}
    assert used <= names


def named(folder: Path) -> set[str]:
    """What the files below a folder import, and what they name in a string to be imported."""
    found: set[str] = set()
    for path in {*folder.rglob('*.py')} - {Path(__file__)}:
        found |= set(imports(path))
        found |= {n.value.split('.')[0] for n in ast.walk(ast.parse(path.read_text('utf-8')))
                  if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


def module_of(name: str) -> str:
    """The module that a declared package brings."""
    plain = re.sub(r'^(ros-jazzy-|ros-(?=rclpy)|python3-)|-pip$', '', name)
    known = {declared: module for module, declared in DECLARED_AS.items()} | {'opencv': 'cv2'}
    return known.get(plain, plain.lower()).replace('-', '_')


def test_every_declared_dependency_is_used() -> None:
    """Regression: trajectory_msgs was asked for, and nothing imported it."""
    of_package = named(PACKAGE) | named(ROOT / 'launch')
    of_tests = named(ROOT / 'test') | named(ROOT / 'benchmarks')
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    asked = [(f'package.xml: {e.text}', str(e.text), e.tag == 'test_depend') for e in manifest
             if e.tag.endswith('depend')]
    asked += [(f'setup.py: {name}', name, extra in ('test', 'dev'))
              for extra, names in requirements().items() for name in names]
    assert not [where for where, name, for_tests in asked
                if module_of(name) not in (of_tests if for_tests else of_package)
                and module_of(name) not in NOT_IMPORTED]


def test_only_clients_of_policy_servers_speak_to_a_network() -> None:
    network = {'aiohttp', 'grpc', 'httpx', 'requests', 'websockets', 'zmq'}
    wrong = [str(path.relative_to(ROOT)) for path in SOURCES
             if network & set(imports(path)) and path.parent.name != 'servers']
    assert not wrong
