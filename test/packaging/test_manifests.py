"""package.xml, setup.py and setup.cfg agree with one another and with what is there."""

import ast
import configparser
import importlib.util
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = 'vla_humanoid_control'


@pytest.fixture(scope='module')
def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / 'package.xml').getroot()


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The package as pip would install it, built without a network, outside the source tree."""
    out = tmp_path_factory.mktemp('wheel')
    subprocess.run(
        [sys.executable, 'setup.py', '--quiet', 'build', '--build-base', str(out / 'build'),
         'egg_info', '--egg-base', str(out), 'bdist_wheel', '--dist-dir', str(out),
         '--bdist-dir', str(out / 'bdist')],
        cwd=ROOT, check=True, capture_output=True, timeout=100)
    return zipfile.ZipFile(next(out.glob('*.whl')))


def field(wheel: zipfile.ZipFile, file: str, key: str) -> str:
    name = next(n for n in wheel.namelist() if n.endswith(f'.dist-info/{file}'))
    return next(line.split(':', 1)[1].strip() for line in wheel.read(name).decode().splitlines()
                if line.startswith(f'{key}:'))


def test_name_version_licence_and_description_agree(manifest: ElementTree.Element,
                                                    wheel: zipfile.ZipFile) -> None:
    assert manifest.get('format') == '3'
    assert manifest.findtext('name') == NAME == field(wheel, 'METADATA', 'Name')
    assert manifest.findtext('version') == field(wheel, 'METADATA', 'Version')
    assert manifest.findtext('description') == field(wheel, 'METADATA', 'Summary')
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith('METADATA'))).decode()
    assert f'License: {manifest.findtext("license")}' in metadata \
        or f'License-Expression: {manifest.findtext("license")}' in metadata
    assert 'Apache License' in (ROOT / 'LICENSE').read_text(encoding='utf-8')


def test_it_is_an_ament_python_package(manifest: ElementTree.Element) -> None:
    assert manifest.findtext('export/build_type') == 'ament_python'
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    # ros2 run looks for executables exactly there.
    assert config['install']['install_scripts'] == f'$base/lib/{NAME}'
    assert config['develop']['script_dir'] == f'$base/lib/{NAME}'


def test_executables_run_under_the_python_of_an_active_environment() -> None:
    """Regression: they named the Python that colcon ran under, and found no torch of the venv."""
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    assert config['build_scripts']['executable'] == '/usr/bin/env python3'


def test_colcon_finds_out_that_there_are_tests(wheel: zipfile.ZipFile) -> None:
    """Regression: colcon test ran nothing and said OK, as no extra named pytest."""
    metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith('METADATA'))).decode()
    assert [line for line in metadata.splitlines() if line.startswith('Requires-Dist: pytest')
            and re.search(r'extra == .test.', line)]


def test_rosdep_is_asked_for_nothing_that_does_not_fit(manifest: ElementTree.Element) -> None:
    """Regression: its python3-torch is 1.13 or 2.1, which the transformers of setup.py refuse.

    Its pip keys name no version, and fail where the system's Python is externally managed.
    """
    keys = {str(e.text) for e in manifest if e.tag.endswith('depend')}
    assert not [k for k in keys if k.endswith('-pip') or 'torch' in k or 'transformers' in k]
    assert "[sim,train]'" in (ROOT / 'README.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('folder', ['launch', 'config', 'resource', 'docs'])
def test_every_asset_is_installed(wheel: zipfile.ZipFile, folder: str) -> None:
    files = [str(p.relative_to(ROOT)) for p in (ROOT / folder).rglob('*')
             if p.is_file() and '__pycache__' not in p.parts and p.name != NAME]
    prefix = f'{Path(str(wheel.filename)).name.split("-py3")[0]}.data/data/share/{NAME}/'
    assert files
    assert [f for f in files if prefix + f not in wheel.namelist()] == []


def test_messages_name_only_documentation_that_is_installed(wheel: zipfile.ZipFile) -> None:
    """Regression: they named docs/parameters.md, which an installation did not have."""
    installed = {n.split(f'/share/{NAME}/')[-1] for n in wheel.namelist()}
    pages = []
    for path in sorted((ROOT / NAME).rglob('*.py')):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        said = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)
                and isinstance(n.value, str)]
        explained = [ast.get_docstring(n, clean=False) for n in ast.walk(tree)
                     if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef))]
        assert not [s for s in said if re.search(r'\bdocs/\w', s) and s not in explained], \
            f'{path.relative_to(ROOT)}: docs_path() gives the full path'
        pages += [ast.literal_eval(n.args[0]) for n in ast.walk(tree) if isinstance(n, ast.Call)
                  and getattr(n.func, 'id', '') == 'docs_path']
    assert pages
    assert [p for p in pages if f'docs/{p}' not in installed] == []


def test_the_package_is_in_the_ament_index(wheel: zipfile.ZipFile) -> None:
    assert any(n.endswith(f'share/ament_index/resource_index/packages/{NAME}')
               for n in wheel.namelist())
    assert any(n.endswith(f'share/{NAME}/package.xml') for n in wheel.namelist())


def test_every_subpackage_is_installed(wheel: zipfile.ZipFile) -> None:
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / NAME).rglob('*.py')}
    assert sources <= set(wheel.namelist())


def test_every_executable_exists(wheel: zipfile.ZipFile) -> None:
    text = wheel.read(next(n for n in wheel.namelist()
                           if n.endswith('entry_points.txt'))).decode()
    config = configparser.ConfigParser()
    config.read_string(text)
    scripts = dict(config['console_scripts'])
    assert set(scripts) == {'vla', 'vla_controller', 'confidence_monitor', 'safety_monitor',
                            'humanoid_sim', 'unitree_bridge', 'walking_controller'}
    for target in scripts.values():
        module, function = target.split(':')
        source = ROOT.joinpath(*module.split('.')).with_suffix('.py')
        assert source.is_file(), f'{target}: {source} is missing'
        assert f'def {function}(' in source.read_text(encoding='utf-8')


@pytest.mark.parametrize('path', sorted((ROOT / 'launch').glob('*.launch.py')),
                         ids=lambda p: p.name)
def test_launch_file_parses(path: Path) -> None:
    compile(path.read_text(encoding='utf-8'), str(path), 'exec')
    pytest.importorskip('launch_ros', reason='ROS 2 launch is not on PyPI')
    spec = importlib.util.spec_from_file_location(path.name.replace('.', '_'), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.generate_launch_description().entities


@pytest.mark.parametrize(('library', 'package'), [
    ('libEGL.so.1', 'libegl1'), ('libEGL_mesa.so.0', 'libegl-mesa0'), ('libGL.so.1', 'libgl1'),
    ('libOpenGL.so.0', 'libopengl0'), ('libgthread-2.0.so.0', 'libglib2.0-0'),
    ('*_dri.so', 'libgl1-mesa-dri')])
def test_make_says_what_is_missing(tmp_path: Path, library: str, package: str) -> None:
    """A machine without EGL used to end in a traceback from inside MuJoCo."""
    script = ('import ctypes, glob, os, sys\n'
              'def refuse(name):\n'
              f"    if name in ({library!r}, 'libEGL_nvidia.so.0'): raise OSError(name)\n"
              'ctypes.CDLL = refuse\n'
              'os.path.exists = lambda path: True\n'
              f"glob.glob = lambda path: [] if path.endswith({library!r}) else ['x_dri.so']\n"
              'sys.argv = ["prerequisites.py", "system"]\n'
              'from vla_humanoid_control.cli import prerequisites\n'
              'sys.exit(prerequisites.main())\n')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          timeout=60, cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert done.returncode == 2
    assert f'apt-get install {package})' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
