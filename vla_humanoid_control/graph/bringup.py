"""The graph, listed once, and what it wants of its environment: for `vla` and launch files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vla_humanoid_control.graph.parameter_file import (
    check_node_names,
    parameters_of,
    read_parameter_file,
)
from vla_humanoid_control.graph.shared_memory import belongs_to_others
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.names import full_name, is_name
from vla_humanoid_control.support.outputs import make_folder
from vla_humanoid_control.support.resources import config_path

_REACH = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
_LOCAL_RANGES, _WIDE_RANGES = ('LOCALHOST', 'OFF'), ('SUBNET', 'SYSTEM_DEFAULT')
_LOCAL_PROFILE, _LOCAL_PROFILE_OF_USERS = 'fastdds.xml', 'fastdds_users.xml'
_WIDE_PROFILE, _WIDE_PROFILE_OF_USERS = 'fastdds_network.xml', 'fastdds_users_network.xml'
_PROFILE_VARIABLES = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'


@dataclass(frozen=True)
class Deployment:
    """What a person chooses; everything else is in the parameter files.

    The values are passed on unread, so a launch file may give substitutions.

    Attributes:
        robot: Name of a robot file in config/robots/, or its path.
        policy: Which policy, as `load_policy` takes it; '' for the node's own default.
        embodiment: Mapping file of the policy; '' for none.
        trust: Folder of its trust artifact; '' for that which belongs to it.
        timing: Node to parameters that follow from the policy's own pace, which hold where no file
            says otherwise; see `control/timing.py`.
        simulated: Whether the built-in simulator stands in for the robot.
        gazebo: Whether Gazebo does.
        walks: Whether it needs a walking controller beside it, as a robot on legs does in Gazebo.
        parameter_file: Parameters of the nodes in YAML, which go before those of the shipped file
            in config/params/; '' for these alone.
        parameters: Node name to parameters that go before those of the files.
        remappings: Topic or service in the code to the one of this robot, for all nodes.
        namespace: The robot's, in which nodes, topics and services are, as `read_namespace`
            gives it.
    """

    robot: Any = 'humanoid'
    policy: Any = ''
    embodiment: Any = ''
    trust: Any = ''
    timing: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    simulated: bool = True
    gazebo: bool = False
    walks: bool = False
    parameter_file: Any = ''
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remappings: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ''


@dataclass(frozen=True)
class NodeEntry:
    """One node of the graph; node and executable have the same name.

    Attributes:
        name: Name of node and executable.
        parameters: Its own parameters.
        parameter_file: YAML read before them; a path, or a substitution of launch.
        remappings: Topic name in the code to topic name in the graph.
        module: Python module that is run; by default the one of that name below `nodes/`.
        shipped: Parameters that hold where nothing else gives them; all of the shipped file.
        chosen_file: Whether `parameter_file` is another one than that.
        namespace: Where it is, as `read_namespace` gives it.
    """

    name: str
    parameters: Mapping[str, Any]
    parameter_file: Any
    remappings: Mapping[str, str] = field(default_factory=dict)
    module: str = ''
    shipped: Mapping[str, Any] = field(default_factory=dict)
    namespace: str = ''
    chosen_file: bool = False

    def __post_init__(self) -> None:
        if not self.module:
            object.__setattr__(self, 'module', f'vla_humanoid_control.nodes.{self.name}')

    @property
    def enclave(self) -> str:
        """Whose rights in config/sros2/policy.xml it has, where ROS enforces them."""
        return full_name(f'vla_humanoid_control/{self.name}', self.namespace)


def graph(deployment: Deployment) -> tuple[NodeEntry, ...]:
    """The nodes, in the order in which they are stopped: whoever moves the robot goes last."""
    robot = {'robot': deployment.robot}
    policy = {'policy': deployment.policy, 'trust': deployment.trust}
    own: dict[str, dict[str, Any]] = {
        'vla_controller': {**robot, **policy, 'embodiment': deployment.embodiment},
        'confidence_monitor': {**robot, **policy},
        'safety_monitor': robot,
        **({'humanoid_sim': robot} if deployment.simulated else {}),
        **({'walking_controller': robot} if deployment.walks else {}),
    }
    default = default_parameters(deployment.simulated, deployment.gazebo)
    document = read_parameter_file(default)
    space = deployment.namespace
    remappings = remapped(deployment.remappings, space, deployment.simulated or deployment.gazebo)
    return tuple(NodeEntry(name, {**values, **deployment.parameters.get(name, {})},
                           deployment.parameter_file or default, remappings, namespace=space,
                           shipped={**deployment.timing.get(name, {}), **parameters_of(
                               document, full_name(name, space), default)},
                           chosen_file=bool(deployment.parameter_file))
                 for name, values in own.items())


def remapped(rules: Mapping[str, str], namespace: str, simulated: bool) -> dict[str, str]:
    """Remappings for a graph in a namespace.

    Whoever remaps /cmd_vel means what the code calls so, in any namespace. What is remapped to
    stays as it is written: a full name is the same for all robots. Each simulator has a time of
    its own, so that in a namespace its clock is there, too.
    """
    if not namespace:
        return dict(rules)
    found = {**{source.removeprefix('/'): target for source, target in rules.items()}, **rules}
    if simulated:
        found.setdefault('/clock', found.get('clock', 'clock'))
    return found


def parse_remappings(rules: Iterable[str]) -> dict[str, str]:
    """Remappings from their form on the command line, such as '/cmd_vel:=/base/cmd_vel'.

    Raises:
        UserError: One is not of that form, or there are two for one name.
    """
    remappings: dict[str, str] = {}
    before: dict[str, str] = {}
    for rule in rules:
        source, _, target = rule.partition(':=')
        if not (is_name(source) and is_name(target)):
            raise UserError(f'Remapping {rule!r} must have the form FROM:=TO with two names, '
                            'such as /cmd_vel:=/base/cmd_vel.')
        name = source.removeprefix('/')
        if before.setdefault(name, target) != target:
            raise UserError(f'{source} is remapped twice, to {before[name]} and {target}.')
        remappings[source] = target
    return remappings


def check_parameter_file(path: str | Path, namespace: str = '') -> None:
    """Refuse a file of parameters whose nodes are not those of the graph.

    Args:
        path: The file.
        namespace: Where the graph is, as `read_namespace` gives it.

    Raises:
        UserError: It cannot be read, has another form, or names a node that there is not.
    """
    names = [full_name(entry.name, namespace) for entry in graph(Deployment(walks=True))]
    check_node_names(read_parameter_file(Path(path)), names, path)


def default_parameters(simulated: bool, gazebo: bool = False) -> Path:
    """The shipped parameter file, which a person's own lies over."""
    return config_path('params', 'gazebo.yaml' if gazebo else
                       'demo.yaml' if simulated else 'robot.yaml')


def environment() -> dict[str, str]:
    """Environment variables that the graph wants; what a person has set stays, if not empty.

    Nothing is offered beyond this machine unless `ROS_AUTOMATIC_DISCOVERY_RANGE` says so. Where
    another user's program offers shared memory in the domain, ours go without. Of the package's
    own profiles each process takes anew the one that fits, as others come and go.

    Raises:
        UserError: What it says is unknown, or there is no profile where a variable says.
    """
    reach = _discovery_range()
    local = reach in _LOCAL_RANGES
    middleware = os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp'
    plain, of_users = ((_LOCAL_PROFILE, _LOCAL_PROFILE_OF_USERS) if local else
                       (_WIDE_PROFILE, _WIDE_PROFILE_OF_USERS))
    set_by_person = {name: path for name in _PROFILE_VARIABLES
                     if (path := _profile_said(name)) and not _is_own(path, plain, of_users)}
    apart = (not set_by_person and reach != 'OFF' and 'fastrtps' in middleware
             and belongs_to_others(_domain()))
    wanted = {
        # Wheels of ROS lie below the environment's prefix; a sourced ROS says so itself.
        'AMENT_PREFIX_PATH': sys.prefix,
        # Threads of one inference spin while they wait for one another. On cores that others use
        # too, that makes it ten times slower than one thread alone.
        'OMP_NUM_THREADS': str(max(1, (os.cpu_count() or 1) // 4)),
    }
    if local and os.environ.get('ROS_DISTRO') == 'humble' and 'fastrtps' not in middleware:
        # Humble knows no discovery range. Not for Fast DDS, where it would put a small segment of
        # shared memory beside that of the profile; not later, where it is deprecated.
        wanted['ROS_LOCALHOST_ONLY'] = '1'
    if apart and local:
        # With LOCALHOST, ROS adds shared memory to the profile, which keeps to this machine by
        # itself. Another middleware than Fast DDS would not read that.
        reach, wanted['RMW_IMPLEMENTATION'] = 'SYSTEM_DEFAULT', middleware
    # An empty one would switch off what is here, and nobody means that.
    chosen = {name: os.environ.get(name, '').strip() or value for name, value in wanted.items()}
    profile = str(config_path(of_users if apart else plain))
    for name in _PROFILE_VARIABLES:
        chosen[name] = set_by_person.get(name, profile)
        # Fast DDS would go on without, on every interface.
        if not (Path(chosen[name]).is_file() and os.access(chosen[name], os.R_OK)):
            raise UserError(f'{name}: there is no file {chosen[name]} that can be read. Correct '
                            'it, or unset it.')
    return {**chosen, _REACH: reach}


def offers_shared_memory() -> bool:
    """Whether this process does: not with the profiles that `environment` takes beside others."""
    own = _LOCAL_PROFILE_OF_USERS, _WIDE_PROFILE_OF_USERS
    return not all(_is_own(_profile_said(name), *own) for name in _PROFILE_VARIABLES)


def _profile_said(variable: str) -> str:
    return os.environ.get(variable, '').strip()


def _is_own(path: str, *profiles: str) -> bool:
    """Whether a path leads to one of these files of the package."""
    return bool(path) and Path(path).resolve() in {config_path(p).resolve() for p in profiles}


def _domain() -> int:
    """The ROS domain. ROS itself refuses what is no number."""
    said = os.environ.get('ROS_DOMAIN_ID', '')
    return int(said) if said.isascii() and said.isdigit() else 0


def log_arguments() -> list[str]:
    """ROS arguments that switch its log files off, where there is no place to write them.

    ROS would refuse to start. What nodes say is printed all the same.
    """
    without = ['--ros-args', '--disable-external-lib-logs']
    person = os.environ.get('HOME')
    home = os.environ.get('ROS_HOME') or (person and f'{person}/.ros')
    folder = os.environ.get('ROS_LOG_DIR') or (home and f'{home}/log')
    if not folder:
        return without
    try:
        make_folder(Path(os.path.expanduser(folder)), 'log folder')
    except UserError:
        return without
    return []


def _discovery_range() -> str:
    """How far discovery is to reach. Beyond this machine only for who says so to the letter."""
    said = os.environ.get(_REACH, '')
    if said == 'SYSTEM_DEFAULT' and all(_is_own(_profile_said(name), _LOCAL_PROFILE_OF_USERS)
                                        for name in _PROFILE_VARIABLES):
        return 'LOCALHOST'  # which whoever started this process has put so, in `environment`
    meant = said.strip().upper() or 'LOCALHOST'
    if meant in _LOCAL_RANGES:
        return meant
    if said not in _WIDE_RANGES:
        raise UserError(f'{_REACH} is {said!r}, which means nothing to ROS. It must be LOCALHOST '
                        'or OFF to stay on this machine, SUBNET or SYSTEM_DEFAULT to use the '
                        'network.')
    return said
