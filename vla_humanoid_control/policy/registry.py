"""Which policies there are, and where each comes from, in one explicit place.

    default, scripted    those that come with the package, and
    unitree_g1           the default for the robot of that name
    a folder             a checkpoint, of our own or of LeRobot
    openpi://HOST:PORT   a policy behind a server of `SERVERS`, with a mapping file
    another name         an entry point of the group `ENTRY_POINTS`, in any installed package
    module:name          a class or function of any module that can be imported

An entry point and a `module:name` are called with the robot, and give a policy.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module, metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from vla_humanoid_control.confidence.artifact import ALL, Monitoring, TrustArtifact
from vla_humanoid_control.confidence.combine import ALPHA
from vla_humanoid_control.control.timing import Timing
from vla_humanoid_control.interfaces import Policy, PolicySpec
from vla_humanoid_control.models.spec import ModelSpec, policy_spec
from vla_humanoid_control.policy.embodiment import Embodiment, FittedPolicy
from vla_humanoid_control.policy.embodiment_file import EmbodimentFile, load_embodiment
from vla_humanoid_control.policy.lerobot import LeRobotPolicy, is_lerobot_folder
from vla_humanoid_control.policy.scripted import ScriptedPolicy
from vla_humanoid_control.policy.servers.remote import RemotePolicy
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.support.errors import EXIT_USER_ERROR, UserError
from vla_humanoid_control.support.resources import resource_path


def _checkpoint(folder: Path) -> Policy:
    # Imported when needed: a robot that runs the scripted policy needs no torch.
    from vla_humanoid_control.policy.native import CheckpointPolicy
    return CheckpointPolicy.load(folder)


def _shipped(name: str, robot: RobotSpec) -> Policy:
    return _checkpoint(resource_path('checkpoints', name))


NAMED: dict[str, Callable[[RobotSpec], Policy]] = {
    'scripted': ScriptedPolicy,
    **{name: partial(_shipped, name) for name in ('default', 'unitree_g1')},
}
"""Policy name to loader."""
DEFAULT_POLICY = 'default'
"""That of every robot but those of whose name there is one."""
_CLIENTS = 'vla_humanoid_control.policy.servers'
SERVERS = {**dict.fromkeys(('openpi', 'openpis'), (f'{_CLIENTS}.openpi', 'OpenpiPolicy')),
           'gr00t': (f'{_CLIENTS}.gr00t', 'Gr00tPolicy'),
           'lerobot': (f'{_CLIENTS}.lerobot', 'LeRobotServerPolicy')}
"""Scheme of an address to module and class of the client, which needs the extra `servers`."""
_WEIGHTS = 'model.safetensors'
ENTRY_POINTS = 'vla_humanoid_control.policies'
"""Group of the entry points by which installed packages give policies."""


def load_policy(name_or_path: str, robot: RobotSpec, embodiment: str = '',
                trust: str | None = '') -> FittedPolicy:
    """A policy, fitted to a robot, ready for `reset`.

    Args:
        name_or_path: See the head of this module.
        robot: The robot that it is to move.
        embodiment: A mapping file, see `policy/embodiment_file.py`; '' where all is called the
            same.
        trust: Its trust artifact, see `trust_of`; None for none, to measure it.

    Raises:
        UserError: There is no such policy, it cannot be made, or it does not fit the robot; or the
            artifact is another policy's.
    """
    file = load_embodiment(embodiment) if embodiment else None
    if (server := _server(name_or_path)) is not None:
        spec = file.spec if file is not None else None
        spec = spec or getattr(server, 'discover', lambda address: None)(name_or_path)
        if spec is None:
            raise UserError(f'{name_or_path} does not say what its policy sees and gives. Give a '
                            'mapping file that does: --embodiment FILE; config/embodiments/ has '
                            'examples.')
        policy: Policy = server(name_or_path, spec)
    elif name_or_path in NAMED:
        policy = NAMED[name_or_path](robot)
    elif _is_lerobot(name_or_path):
        if file is None or file.spec is None:
            raise UserError(f'{name_or_path} is a checkpoint of LeRobot, which does not say which '
                            'joints its numbers are. Give a mapping file that does: --embodiment '
                            'FILE; config/embodiments/ has examples.')
        policy = LeRobotPolicy(Path(name_or_path), file.spec)
    elif Path(name_or_path).is_dir():
        policy = _checkpoint(Path(name_or_path))
    else:
        policy = _foreign(name_or_path, robot)
    fit, _ = _fit(name_or_path, policy.spec, robot, file)
    if isinstance(policy, RemotePolicy):
        policy.greet()
    artifact = None if trust is None else trust_of(name_or_path, trust)
    if artifact is not None and trust and artifact.fingerprint != (
            own := fingerprint(name_or_path, policy)):
        raise UserError(f'Trust artifact {trust} was measured on another policy, or on this one '
                        f'before it changed ({artifact.fingerprint:.8}, not {own:.8}). Measure '
                        f'again: vla trust --policy {name_or_path}')
    fitted = FittedPolicy(policy, fit, artifact)
    joints, channels = len(robot.joint_names), len(fitted.spec.channels)
    if artifact is not None and (problem := fitted.meter.problem(joints, channels)):
        raise UserError(f'Trust artifact {artifact.folder} was measured with {problem} than the '
                        f'policy has on robot {robot.name}. Measure again: vla trust --policy '
                        f'{name_or_path} --robot {robot.name}')
    return fitted


def chosen_policy(asked: str, robot: RobotSpec) -> str:
    """The policy that was asked for; of '' that which comes with the package for this robot."""
    return asked or (robot.name if robot.name in NAMED else DEFAULT_POLICY)


def policy_names() -> dict[str, str]:
    """Names that `load_policy` knows, each with where it comes from."""
    ours = dict.fromkeys(NAMED, 'comes with this package')
    others = {point.name: f'{point.value}, of {point.dist.name if point.dist else "nowhere"}'
              for point in metadata.entry_points(group=ENTRY_POINTS)}
    return others | ours


def check_policy(name_or_path: str, robot: RobotSpec, embodiment: str = '') -> Timing:
    """Refuse what `load_policy` would refuse, without loading it here.

    Nothing of it stays in this process, which may have a robot to look after for days: what needs
    torch, or runs the code of others, has a process of its own.

    Args:
        name_or_path: As in `load_policy`.
        robot: The robot that it is to move.
        embodiment: As in `load_policy`.

    Returns:
        The time limits that follow from its pace.

    Raises:
        UserError: There is no such policy, it cannot be read or made, does not fit the robot, or
            has other weights than its `config.json` says.
    """
    folder = _folder(name_or_path)
    path = folder / 'config.json'
    light = name_or_path in NAMED and not path.exists()
    if light or _server(name_or_path) is not None:
        return Timing.of(load_policy(name_or_path, robot, embodiment=embodiment).spec)
    if not _is_ours(name_or_path):
        if not _is_lerobot(name_or_path):
            _find(name_or_path)
        said = _check_elsewhere(name_or_path, 'vla_humanoid_control.policy.contract',
                                name_or_path, robot.file, embodiment)
        return Timing(**json.loads(said.splitlines()[-1]))
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
        fields, signals = data['policy'], data['model']['signals']
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                                  for name, value in fields.items()}
        spec = policy_spec(ModelSpec(**values), signals)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{path} cannot be read ({error}). Give the folder of a checkpoint.') \
            from error
    file = load_embodiment(embodiment) if embodiment else None
    _, timing = _fit(name_or_path, spec, robot, file)
    _check_elsewhere(f'Checkpoint {folder}', 'vla_humanoid_control.models.checkpoint', str(folder))
    return timing


def trust_of(name_or_path: str, trust: str = '') -> TrustArtifact | None:
    """What was measured of a policy; None where nothing was.

    Args:
        name_or_path: As in `load_policy`.
        trust: The folder of its trust artifact, or the name of one that comes with the package. By
            default that which comes with it for this policy, or the folder `trust` beside a
            checkpoint.

    Raises:
        UserError: There is no such policy, or the artifact cannot be read.
    """
    if not (_is_ours(name_or_path) or _is_lerobot(name_or_path)) \
            and _server(name_or_path) is None:
        _find(name_or_path)
    if trust:
        given, ours = Path(trust), resource_path('trust', trust)
        is_name = trust.isidentifier() and ours.is_dir() and not given.is_dir()
        return TrustArtifact.load(ours if is_name else given)
    shipped = resource_path('trust', name_or_path) if name_or_path in NAMED else None
    if shipped is not None and shipped.is_dir():
        return TrustArtifact.load(shipped)
    if Path(name_or_path).is_dir() and not (Path(name_or_path) / 'config.json').is_file():
        raise UserError(f'{Path(name_or_path) / "config.json"} cannot be read: there is none. '
                        'Give the folder of a checkpoint.')
    if (_folder(name_or_path) / _WEIGHTS).is_file():
        # Of a copy of the shipped checkpoint the same is known as of the checkpoint itself.
        own = fingerprint(name_or_path)
        for folder in (Path(name_or_path).resolve().parent / 'trust',
                       *sorted(resource_path('trust').glob('*'))):
            if folder.is_dir() and (found := TrustArtifact.load(folder)).fingerprint == own:
                return found
    return None


def monitoring(name_or_path: str, trust: str = '', signals: Sequence[str] = ALL,
               alpha: float = ALPHA, allow_uncalibrated: bool = False, with_each: bool = False
               ) -> Monitoring:
    """What a confidence monitor goes by with a policy: see `trust_of` and `Monitoring.of`."""
    artifact = trust_of(name_or_path, trust)
    if artifact is None and name_or_path == 'scripted':  # it knows its words, or it does not
        return Monitoring()
    return Monitoring.of(artifact, signals, alpha, allow_uncalibrated, with_each)


def fingerprint(name_or_path: str, policy: Policy | None = None) -> str:
    """What tells a policy from another, or from itself before it was trained anew.

    Args:
        name_or_path: As in `load_policy`. Of a checkpoint its weights count.
        policy: Of any other: its own `fingerprint`, which our server gives of what it serves; else
            what it sees and gives, which is all that is known of it.
    """
    weights = _folder(name_or_path) / _WEIGHTS
    if weights.is_file():
        return hashlib.sha256(weights.read_bytes()).hexdigest()
    if isinstance(policy, RemotePolicy) and policy.fingerprint:
        return policy.fingerprint
    spec = policy and policy.spec
    told = repr((name_or_path.partition('://')[0], spec and sorted(spec.gives),
                 spec and replace(spec, gives=frozenset())))
    return hashlib.sha256(told.encode()).hexdigest()


def checkpoint_folder(name_or_path: str) -> Path:
    """The folder of a checkpoint of this package; UserError where it is none."""
    folder = _folder(name_or_path)
    if not (folder / _WEIGHTS).is_file() or _is_lerobot(name_or_path):
        raise UserError(f'{name_or_path} is no checkpoint of this package. Give the folder of '
                        'one.')
    return folder


def _server(address: str) -> Callable[[str, PolicySpec], Policy] | None:
    """What makes the client of a policy server; None where that is no address of one."""
    scheme, colon, _ = address.partition('://')
    if not colon:
        return None
    if scheme not in SERVERS:
        raise UserError(f'{address} is no address of a policy server. Give one that begins with '
                        f'{", ".join(f"{s}://" for s in SERVERS)}.')
    module, name = SERVERS[scheme]
    try:
        made: Callable[[str, PolicySpec], Policy] = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise UserError(f'{address} needs {error.name}, which is not installed. Install it: pip '
                        "install 'vla_humanoid_control[servers]'") from error
    return made


def _is_lerobot(name_or_path: str) -> bool:
    return name_or_path not in NAMED and is_lerobot_folder(Path(name_or_path))


def _is_ours(name_or_path: str) -> bool:
    return name_or_path in NAMED or (Path(name_or_path).is_dir() and not _is_lerobot(name_or_path))


def _fit(name_or_path: str, spec: PolicySpec, robot: RobotSpec, file: EmbodimentFile | None
         ) -> tuple[Embodiment, Timing]:
    """A policy on a robot, and its time limits; UserError where it does not fit or is too slow."""
    who = f'Policy {name_or_path!r}' if name_or_path in NAMED or not _is_ours(name_or_path) \
        else f'Checkpoint {name_or_path}'
    if file is not None and file.spec is not None and file.spec != spec:
        raise UserError(f'Mapping file {file.path} says what the policy sees and gives, but {who} '
                        'says so itself. Leave out all but images, channels and scale.')
    fit = Embodiment.fit(spec, robot, None if file is None else file.names, who)
    return fit, Timing.of(fit.control_spec, who)


def _folder(name_or_path: str) -> Path:
    return resource_path('checkpoints', name_or_path) if name_or_path in NAMED \
        else Path(name_or_path)


def _find(name: str) -> EntryPoint:
    """The entry point of that name, or one made of `module:name`."""
    points = [p for p in metadata.entry_points(group=ENTRY_POINTS) if p.name == name]
    if len({p.value for p in points}) > 1:
        raise UserError(f'Several installed packages give a policy {name!r}: '
                        f'{", ".join(sorted(p.value for p in points))}. Give one of these instead '
                        'of the name.')
    if points:
        return points[0]
    module, colon, attribute = name.partition(':')
    if colon and all(map(str.isidentifier, [*module.split('.'), *attribute.split('.')])):
        return EntryPoint(name, name, ENTRY_POINTS)
    raise UserError(f'Policy {name!r} is neither a folder, nor a module:name, nor one of '
                    f'{", ".join(policy_names())}. Give the folder of a checkpoint, or a name: '
                    'vla policies lists them.')


def _foreign(name: str, robot: RobotSpec) -> Policy:
    """A policy that the code of others makes."""
    point = _find(name)
    try:
        made: Policy = point.load()(robot)
    except UserError:
        raise
    except Exception as error:  # whatever it may be: it is the person's own code, or another's
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise UserError(f'Policy {name!r} ({point.value}) cannot be made: {type(error).__name__}: '
                        f'{error} ({place.filename}:{place.lineno}).') from error
    missing = [n for n in ('spec', 'reset', 'infer', 'close') if not hasattr(made, n)]
    if missing:
        raise UserError(f'Policy {name!r} ({point.value}) gave a {type(made).__name__}, which has '
                        f'no {", ".join(missing)}: see Policy in interfaces.py.')
    return made


def _check_elsewhere(what: str, module: str, *arguments: str) -> str:
    """What a module prints in a process of its own; why it refuses a policy, it says last."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get('PYTHONPATH', ''))))
    check = subprocess.run([sys.executable, '-m', module, *arguments],
                           env={**os.environ, 'PYTHONPATH': paths}, capture_output=True, text=True,
                           errors='replace', check=False)
    if check.returncode:
        said = check.stderr.strip().splitlines() or [f'status {check.returncode}']
        raise UserError(said[-1] if check.returncode == EXIT_USER_ERROR else
                        f'{what} cannot be checked ({said[-1]}). Run make setup, or train or copy '
                        'it again.')
    return check.stdout
