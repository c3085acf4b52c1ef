"""What the sources never do: unpickle, load YAML that can run code, or listen on a network."""

from __future__ import annotations

import argparse
import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from vla_humanoid_control.cli import serve
from vla_humanoid_control.evaluation.suite import load_suite
from vla_humanoid_control.graph.bringup import environment
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.support.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(p for folder in ('vla_humanoid_control', 'benchmarks', 'launch')
                 for p in (ROOT / folder).rglob('*.py')) + [ROOT / 'setup.py']

PICKLES = {'pickle', '_pickle', 'cPickle', 'cloudpickle', 'dill', 'joblib', 'marshal', 'shelve'}
# What listens does so by one of these. A module that needs one, because a person may ask for it,
# is entered in MAY_LISTEN, and its own test shows that it is 127.0.0.1 unless asked otherwise.
LISTENERS = {'socket', 'socketserver', 'ssl', 'http', 'xmlrpc', 'wsgiref', 'asyncore', 'aiohttp',
             'fastapi', 'flask', 'grpc', 'starlette', 'tornado', 'uvicorn', 'websockets', 'zmq'}
LISTENING_CALLS = {'start_server', 'create_server', 'create_datagram_endpoint', 'Listener',
                   'BaseManager', 'SyncManager', 'init_process_group', 'init_rpc'}
# graph/domain.py looks whether a port of this machine is taken, and never reads from one.
# serving.py is `vla serve`, process_group.py training under `torchrun`: a person asks for both.
MAY_LISTEN = frozenset({'vla_humanoid_control/graph/domain.py',
                        'vla_humanoid_control/learning/process_group.py',
                        'vla_humanoid_control/policy/servers/serving.py'})
# These call a server by its address, and wait for nobody.
CLIENTS = frozenset({'vla_humanoid_control/policy/servers/openpi.py',
                     'vla_humanoid_control/policy/servers/gr00t.py',
                     'vla_humanoid_control/policy/servers/lerobot.py',
                     'vla_humanoid_control/policy/servers/planner.py'})
# LeRobot's own, and configurations: they read JSON and safetensors, and nothing else.
LEROBOT = {'PreTrainedConfig.from_pretrained', 'get_policy_class(config.type).from_pretrained',
           'type(config).from_pretrained'}
SAFE_YAML = {'safe_load', 'safe_load_all', 'safe_dump', 'safe_dump_all', 'dump', 'dump_all',
             'SafeLoader', 'CSafeLoader', 'SafeDumper', 'CSafeDumper', 'YAMLError', 'load',
             'compose'}  # which makes nodes of text, and no objects of nodes


class _Loads(ast.NodeVisitor):
    """Collects what is dangerous in one file, as (line, what)."""

    def __init__(self, tree: ast.Module, may_listen: bool) -> None:
        self.found: list[tuple[int, str]] = []
        self._may_listen = may_listen
        self._values = {t.id: n.value for n in ast.walk(tree) if isinstance(n, ast.Assign)
                        for t in n.targets if isinstance(t, ast.Name)}
        self.visit(tree)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imported(node, alias.name)
            if alias.asname and alias.name in ('torch', 'yaml'):
                self._add(node, f'{alias.name} under another name, which hides its calls')

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module and not node.level:
            self._imported(node, node.module)
            names = {a.name for a in node.names}
            if node.module == 'yaml' or (node.module == 'torch'
                                         and names & {'load', 'hub', 'jit'}):
                self._add(node, f'{sorted(names)} from {node.module}, which hides its calls')
            for name in names & LISTENING_CALLS:
                self._listens(node, name)

    def _imported(self, node: ast.AST, module: str) -> None:
        top = module.split('.')[0]
        if top in PICKLES:
            self._add(node, f'{module} can run what it loads')
        if top in LISTENERS:
            self._listens(node, module)

    def _listens(self, node: ast.AST, what: str) -> None:
        if not self._may_listen:
            self._add(node, f'{what} may listen; see MAY_LISTEN')

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.value.id == 'yaml' \
                and node.attr not in SAFE_YAML:
            self._add(node, f'yaml.{node.attr}')
        if ast.unparse(node) in ('torch.hub', 'torch.jit.load', 'torch.package'):
            self._add(node, f'{ast.unparse(node)} runs what it loads')
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        keywords = {k.arg: k.value for k in node.keywords}
        name = ast.unparse(node.func)
        last = name.rpartition('.')[2]
        if name == 'torch.load' and not _is(keywords.get('weights_only'), True):
            self._add(node, 'torch.load without weights_only=True')
        if name == 'yaml.load' and not self._is_safe(keywords.get('Loader')):
            self._add(node, 'yaml.load without a safe loader')
        if last == 'from_pretrained' and 'Tokenizer' not in name \
                and name not in LEROBOT \
                and not _is(keywords.get('use_safetensors'), True):
            self._add(node, f'{name} without use_safetensors=True')
        for keyword in ('allow_pickle', 'trust_remote_code', 'shell'):
            if keyword in keywords and not _is(keywords[keyword], False):
                self._add(node, f'{name} with {keyword}')
        if name in ('eval', 'exec', 'os.system', 'os.popen', '__import__'):
            self._add(node, name)
        if last in LISTENING_CALLS:
            self._listens(node, name)
        self.generic_visit(node)

    def _is_safe(self, loader: ast.expr | None) -> bool:
        """A safe loader of PyYAML, or a name that the file gives to nothing but such."""
        if isinstance(loader, ast.Name):
            loader = self._values.get(loader.id)
        if loader is None:
            return False
        text = ast.unparse(loader)
        return text in ('yaml.SafeLoader', 'yaml.CSafeLoader',
                        "getattr(yaml, 'CSafeLoader', yaml.SafeLoader)")

    def _add(self, node: ast.AST, what: str) -> None:
        self.found.append((getattr(node, 'lineno', 0), what))


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def dangers(source: str, may_listen: bool = False) -> Iterator[str]:
    """What a source must not do, with the line."""
    yield from (f'line {n}: {what}' for n, what in _Loads(ast.parse(source), may_listen).found)


@pytest.mark.parametrize('path', SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_source_loads_only_data_and_does_not_listen(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    assert not list(dangers(path.read_text(encoding='utf-8'),
                            relative in MAY_LISTEN | CLIENTS))


@pytest.mark.parametrize('path', sorted(CLIENTS))
def test_clients_of_policy_servers_call_and_do_not_listen(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding='utf-8'))
    called = {n.func.attr if isinstance(n.func, ast.Attribute) else ast.unparse(n.func)
              for n in ast.walk(tree) if isinstance(n, ast.Call)}
    assert 'connect' in called
    assert not called & {'bind', 'bind_to_random_port', 'listen', 'serve', 'unix_serve', 'server',
                         'add_insecure_port', 'add_secure_port'}


def test_a_served_policy_is_for_this_machine_alone_unless_asked_otherwise() -> None:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    assert parser.parse_args([]).host == '127.0.0.1'


@pytest.mark.parametrize('source', [
    'import torch\ntorch.load("x")',
    'import torch\ntorch.load("x", weights_only=False)',
    'import torch\ntorch.load("x", weights_only=flag)',
    'import torch as t\nt.load("x")',
    'from torch import load',
    'import torch\ntorch.hub.load("a", "b")',
    'import yaml\nyaml.load(text)',
    'import yaml\nyaml.load(text, Loader=yaml.Loader)',
    'import yaml\nyaml.load(text, Loader=yaml.UnsafeLoader)',
    'import yaml\nL = yaml.FullLoader\nyaml.load(text, Loader=L)',
    'import yaml\nyaml.unsafe_load(text)',
    'import yaml\nyaml.full_load(text)',
    'from yaml import load',
    'import pickle',
    'from pickle import loads',
    'import numpy as np\nnp.load("x", allow_pickle=True)',
    'AutoModel.from_pretrained("x")',
    'AutoModel.from_pretrained("x", use_safetensors=True, trust_remote_code=True)',
    'import socket',
    'import http.server',
    'from multiprocessing.connection import Listener',
    'import asyncio\nasyncio.start_server(f)',
    'import torch\ntorch.distributed.init_process_group("gloo")',
    'import subprocess\nsubprocess.run(text, shell=True)',
    'eval(text)',
])
def test_what_is_dangerous_is_noticed(source: str) -> None:
    assert list(dangers(source))


def test_weights_are_loaded_somewhere_so_that_the_check_has_something_to_check() -> None:
    text = '\n'.join(p.read_text(encoding='utf-8') for p in SOURCES)
    assert 'torch.load(' in text and 'yaml.load(' in text and '.from_pretrained(' in text


@pytest.mark.parametrize('load', [load_robot, lambda path: load_suite(Path(path))],
                         ids=['robot', 'suite'])
def test_a_yaml_file_cannot_run_code(load, tmp_path: Path) -> None:
    trace, file = tmp_path / 'trace', tmp_path / 'evil.yaml'
    file.write_text(f'!!python/object/apply:os.mkdir ["{trace}"]\n')
    with pytest.raises(UserError, match='not valid YAML'):
        load(str(file))
    assert not trace.exists()
    yaml.unsafe_load(file.read_text())  # an unsafe loader does run it
    assert trace.exists()


# --- the middleware's profiles ----------------------------------------------------------------

def transports(name: str) -> dict[str, list[str]]:
    """Type of each transport in use to the addresses that it is kept to; of the only profile."""
    def local(element: ElementTree.Element) -> str:
        return element.tag.rpartition('}')[2]

    root = ElementTree.parse(ROOT / 'config' / name).getroot()
    found = {local(e): e for e in root.iter()}
    assert found['participant'].attrib['is_default_profile'] == 'true'
    assert found['useBuiltinTransports'].text == 'false'
    used = {e.text for e in found['userTransports']}
    result = {}
    for transport in found['transport_descriptors']:
        fields = {local(e): e for e in transport}
        if fields['transport_id'].text in used:
            result[str(fields['type'].text)] = [str(a.text) for a in
                                                fields.get('interfaceWhiteList', ())]
    return result


def test_profile_keeps_to_this_machine() -> None:
    assert transports('fastdds.xml') == {'SHM': [], 'UDPv4': ['127.0.0.1']}
    assert transports('fastdds_network.xml') == {'SHM': [], 'UDPv4': []}
    assert transports('fastdds_users.xml') == {'UDPv4': ['127.0.0.1']}
    assert transports('fastdds_users_network.xml') == {'UDPv4': []}


@pytest.mark.parametrize(('asked', 'profile', 'reach'), [
    (None, 'fastdds.xml', 'LOCALHOST'), ('LOCALHOST', 'fastdds.xml', 'LOCALHOST'),
    ('OFF', 'fastdds.xml', 'OFF'), ('SUBNET', 'fastdds_network.xml', 'SUBNET')])
def test_the_network_is_used_only_when_asked_for(monkeypatch: pytest.MonkeyPatch,
                                                 asked: str | None, profile: str,
                                                 reach: str) -> None:
    for name in ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE',
                 'ROS_AUTOMATIC_DISCOVERY_RANGE'):
        monkeypatch.delenv(name, raising=False)
    if asked is not None:
        monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', asked)
    wanted = environment()
    assert Path(wanted['FASTRTPS_DEFAULT_PROFILES_FILE']).name == profile
    assert Path(wanted['FASTDDS_DEFAULT_PROFILES_FILE']).name == profile
    assert wanted['ROS_AUTOMATIC_DISCOVERY_RANGE'] == reach
