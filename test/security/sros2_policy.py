"""Reads config/sros2/policy.xml as `ros2 security create_permission` does.

Names are expanded as in permissions.xsl of ros2/sros2, and matched as DDS Security says, with the
rules of POSIX fnmatch, where an asterisk also stands for slashes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

POLICY = Path(__file__).resolve().parents[2] / 'config' / 'sros2' / 'policy.xml'
PREFIX = '/vla_humanoid_control/'

# What may stand in what, in the order of policy.xsd of ros2/sros2.
QUALIFIERS = {'topics': ('topic', {'publish', 'subscribe'}),
              'services': ('service', {'request', 'reply'}),
              'actions': ('action', {'call', 'execute'})}


@dataclass(frozen=True)
class Rights:
    """What one enclave may do; full names, maybe with asterisks."""

    publish: frozenset[str]
    subscribe: frozenset[str]
    request: frozenset[str]
    reply: frozenset[str]

    def may(self, verb: str, name: str) -> bool:
        """Whether it may publish, subscribe, request or reply that."""
        return any(fnmatchcase(name, pattern) for pattern in getattr(self, verb))


def read(text: str = '', prefix: str = PREFIX) -> dict[str, Rights]:
    """Enclave, without its prefix, to its rights. Reads the shipped file by default."""
    root = ElementTree.fromstring(text or POLICY.read_text(encoding='utf-8'))
    rights: dict[str, Rights] = {}
    for enclave in root.iterfind('enclaves/enclave'):
        granted: dict[str, set[str]] = {v: set() for v in Rights.__dataclass_fields__}
        for profile in enclave.iterfind('profiles/profile'):
            for group in profile:
                item, verbs = QUALIFIERS[group.tag]
                for verb in verbs & {k for k, v in group.attrib.items() if v == 'ALLOW'}:
                    granted[verb] |= {_full(profile, e.text or '') for e in group.iterfind(item)}
        path = enclave.attrib['path']
        assert path.startswith(prefix), path
        assert path not in rights, f'{path} twice'
        rights[path.removeprefix(prefix)] = Rights(**{v: frozenset(n) for v, n in granted.items()})
    return rights


def _full(profile: ElementTree.Element, name: str) -> str:
    namespace = profile.attrib['ns'].rstrip('/') + '/'
    if name.startswith('~'):
        return namespace + profile.attrib['node'] + name[1:]
    return name if name.startswith('/') else namespace + name


def holders(rights: dict[str, Rights], verb: str, name: str) -> set[str]:
    """The enclaves that may do that."""
    return {enclave for enclave, r in rights.items() if r.may(verb, name)}


def faults_of_form(text: str) -> Iterator[str]:
    """Where a policy is not what policy.xsd of ros2/sros2 describes, version 0.2.0."""
    root = ElementTree.fromstring(text)
    if root.tag != 'policy' or root.attrib != {'version': '0.2.0'}:
        yield 'the root must be policy, of version 0.2.0'
    if [e.tag for e in root] != ['enclaves'] or not len(root[0]):
        yield 'policy must have one enclaves, and that some'
        return
    for enclave in root[0]:
        where = enclave.attrib.get('path', '?')
        if enclave.tag != 'enclave' or set(enclave.attrib) != {'path'}:
            yield f'{where}: must be an enclave with a path'
        if not len(enclave) or {e.tag for e in enclave} != {'profiles'}:
            yield f'{where}: must have profiles'
        for profiles in enclave:
            if not len(profiles) or set(profiles.attrib) - {'type'}:
                yield f'{where}: profiles must have a profile'
            for profile in profiles:
                yield from (f'{where}: {fault}' for fault in _faults_of_profile(profile))


def _faults_of_profile(profile: ElementTree.Element) -> Iterator[str]:
    if profile.tag != 'profile' or set(profile.attrib) != {'ns', 'node'}:
        yield 'a profile must have ns and node'
    for group in profile:
        item, verbs = QUALIFIERS.get(group.tag, ('', set()))
        if not item or not len(group) or {e.tag for e in group} != {item}:
            yield f'{group.tag} must hold some {item or "known element"}'
        if not group.attrib or set(group.attrib) - verbs \
                or set(group.attrib.values()) - {'ALLOW', 'DENY'}:
            yield f'{group.tag} cannot say {group.attrib}'
        if any(not (e.text or '').strip() or e.text != (e.text or '').strip() or len(e)
               for e in group):
            yield f'a name in {group.tag} is empty, or has blanks around it'
