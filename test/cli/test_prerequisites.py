"""What a machine must have, and what `make setup` makes of it."""

import os
import platform
import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from vla_humanoid_control.cli import prerequisites

ROOT = Path(__file__).resolve().parents[2]
Version = namedtuple('Version', 'major minor micro')


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain x86-64 machine with all libraries."""
    monkeypatch.setattr(sys, 'platform', 'linux')
    monkeypatch.setattr(platform, 'machine', lambda: 'x86_64')
    monkeypatch.setattr(sys, 'version_info', Version(3, 12, 0))
    monkeypatch.setattr(prerequisites, 'ros_is_here', lambda: False)
    monkeypatch.setattr(prerequisites, 'rendering_problem', lambda: None)


def test_a_machine_with_everything_has_no_problem() -> None:
    assert prerequisites.system_problem() is None


@pytest.mark.parametrize(('version', 'processor', 'words'), [
    ((3, 9, 7), 'x86_64', '3.10 or newer'), ((3, 14, 0), 'x86_64', '3.10 to 3.13 only'),
    ((3, 12, 0), 'aarch64', 'x86-64 only, and this is aarch64'),
])
def test_where_there_are_no_wheels_one_sentence_says_so(
        version: tuple[int, int, int], processor: str, words: str,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: pip said that it found no version of ros-rclpy."""
    monkeypatch.setattr(sys, 'version_info', Version(*version))
    monkeypatch.setattr(platform, 'machine', lambda: processor)
    problem = prerequisites.system_problem()
    assert problem is not None and words in problem and len(problem.splitlines()) == 1
    monkeypatch.setattr(prerequisites, 'ros_is_here', lambda: True)
    assert (prerequisites.system_problem() is None) == (version >= (3, 10))


def ask(question: str, path: str = '') -> str:
    """Ask with the interpreter below this environment, which knows none of its packages."""
    done = subprocess.run([sys.executable, '-I', '-S', '-c',
                           f'import sys; sys.path.append({path!r}); '
                           f'sys.path.insert(0, {str(ROOT / "vla_humanoid_control" / "cli")!r}); '
                           f'sys.argv = ["", {question!r}]; '
                           'import prerequisites; sys.exit(prerequisites.main())'],
                          capture_output=True, text=True, check=True, cwd='/')
    return done.stdout.strip()


def test_a_sourced_ros_takes_the_place_of_the_wheels(tmp_path: Path) -> None:
    """Regression: two ROS 2 in one process."""
    assert (ask('extras'), ask('venv')) == ('ros,sim,train,servers,dev', '')
    (tmp_path / 'rclpy').mkdir()
    (tmp_path / 'rclpy' / '__init__.py').touch()
    sourced = str(tmp_path)
    assert (ask('extras', sourced), ask('venv', sourced)) \
        == ('sim,train,servers,dev', '--system-site-packages')
    done = subprocess.run(['make', '--dry-run', '--always-make', 'setup'], cwd=ROOT, text=True,
                          capture_output=True, check=True)
    assert re.search(r'-m venv \$\(.*prerequisites.py venv\)', done.stdout)
    assert re.search(r'editable "\.\[\$\(.*prerequisites.py extras\)\]"', done.stdout)


@pytest.mark.parametrize(('module', 'what'), [('rclpy', '.[ros]'), ('cv2', '.')])
def test_what_does_not_load_is_named_with_what_brings_it(
        module: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: OpenCV was said to come with the extra `ros`."""
    def load(name: str) -> None:
        if name == module:
            raise ImportError('broken')
    monkeypatch.setattr(prerequisites.importlib, 'import_module', load)
    assert f"pip install -e '{what}'" in str(prerequisites.installed_problem())


PYBIND = "import importlib\nimportlib.import_module('rclpy._rclpy_pybind11')\n"


@pytest.mark.parametrize(('files', 'words'), [
    ({'__init__.py': PYBIND}, 'does not load under this Python'),
    ({'__init__.py': PYBIND, '_rclpy_pybind11.cpython-39-x86_64-linux-gnu.so': ''},
     'it was built for Python 3.9'),
    ({'__init__.py': 'raise ImportError("undefined symbol: PyUnicode_New")',
      '_rclpy_pybind11.cpython-39-x86_64-linux-gnu.so': ''}, 'it was built for Python 3.9'),
    ({'__init__.py': 'import rpyutils_that_is_not_there'}, 'rpyutils_that_is_not_there'),
    ({'__init__.py': ''}, 'not complete'),
    ({'__init__.py': 'import os\nos.abort()'}, 'exit status -6'),
])
def test_a_ros_that_does_not_load_is_told_in_one_sentence(
        files: dict[str, str], words: str, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: where the sourced ROS was another Python's, each node died of a traceback."""
    folder = tmp_path / 'rclpy'
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    monkeypatch.setattr(prerequisites.importlib.util, 'find_spec',
                        lambda _: namedtuple('Spec', 'origin')(str(folder / '__init__.py')))
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join((str(tmp_path), str(ROOT))))
    problem = prerequisites.ros_problem()
    assert problem is not None and words in problem and len(problem.splitlines()) == 1


def test_a_node_alone_says_so_too(tmp_path: Path) -> None:
    """Regression: `ros2 run` under another Python's ROS ended in a traceback."""
    (tmp_path / 'rclpy').mkdir()
    (tmp_path / 'rclpy' / '__init__.py').write_text(PYBIND)
    ended = subprocess.run(
        [sys.executable, '-c',
         'from vla_humanoid_control.cli import nodes; nodes.safety_monitor()'],
        capture_output=True, text=True, timeout=100,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join((str(tmp_path), str(ROOT)))})
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert ended.stderr.startswith(f'safety_monitor: The rclpy in {tmp_path}')


def test_a_middleware_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('rclpy')
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    assert prerequisites.ros_problem() is None
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_of_nobody_cpp')
    problem = str(prerequisites.ros_problem())
    assert 'rmw_of_nobody_cpp' in problem and 'unset RMW_IMPLEMENTATION' in problem
