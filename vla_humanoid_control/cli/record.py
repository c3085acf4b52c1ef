"""`vla record DIR`: how the episodes that a robot recorded have ended, as a person says.

Let the robot record with `vla run --record DIR`, and leave this running beside it: it asks after
each task. Or say it of all of them at once: --outcomes FILE, lines of "id,yes" or "id,no", and a
third column "beyond" where the robot was asked for what it cannot do.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vla_humanoid_control.support.errors import UserError

if TYPE_CHECKING:
    from vla_humanoid_control.data.rollouts import RolloutsFolder

LOOK_S = 0.5
"""How often it looks for new episodes [s]."""
_ANSWERS = {'y': (True, True), 'n': (False, True), 'b': (False, False)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('folder', type=Path, metavar='DIR', help='folder of rollouts')
    parser.add_argument('--outcomes', type=Path, metavar='FILE',
                        help='CSV file of outcomes, instead of asking')
    parser.add_argument('--once', action='store_true',
                        help='end when all episodes that are there have an outcome')


def run(arguments: argparse.Namespace) -> int:
    """Ask, or read, and write the outcomes.

    Raises:
        UserError: The folder or the file cannot be read, or names an episode that is not there.
    """
    from vla_humanoid_control.data.rollouts import RolloutsFolder
    if arguments.outcomes is not None:
        return _read(RolloutsFolder.open(arguments.folder), arguments.outcomes)
    while not (arguments.folder / 'rollouts.json').exists() and not arguments.once:
        time.sleep(LOOK_S)
    folder = RolloutsFolder.open(arguments.folder)
    done: set[str] = set()
    while True:
        for name in folder.ids:
            if name not in done and not _ask(folder, name):
                return 0
            done.add(name)
        if arguments.once:
            return 0
        time.sleep(LOOK_S)


def _ask(folder: RolloutsFolder, name: str) -> bool:
    """Ask about an episode that has no outcome yet; False where the person has had enough."""
    about = folder.about(name)
    if about.success is not None:
        return True
    while True:
        print(f'{name}: "{about.prompt}" ({about.tags.get("seconds", "?")} s). Did it succeed? '
              '[y]es, [n]o, [b]eyond the robot, [s]kip, [q]uit: ', end='', flush=True)
        answer = sys.stdin.readline()
        letter = answer.strip().lower()[:1]
        if not answer or letter == 'q':
            return False
        if letter == 's':
            return True
        if letter in _ANSWERS:
            success, able = _ANSWERS[letter]
            folder.write(replace(folder.read(name), success=success, able=able))
            return True


def _read(folder: RolloutsFolder, path: Path) -> int:
    try:
        with path.open(encoding='utf-8', newline='') as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{path} cannot be read ({error}). Give lines of: id,yes or id,no') \
            from error
    known = set(folder.ids)
    outcomes: dict[str, tuple[bool, bool]] = {}
    for number, row in enumerate(rows, start=1):
        good = 2 <= len(row) <= 3 and row[1] in ('yes', 'no') and row[2:] in ([], [''], ['beyond'])
        if not good or (row[1] == 'yes' and row[2:] == ['beyond']):
            raise UserError(f'{path}, line {number}: give id,yes or id,no or id,no,beyond.')
        if row[0] not in known:
            raise UserError(f'{path}, line {number}: {folder.path} has no episode {row[0]}.')
        outcomes[row[0]] = row[1] == 'yes', row[2:] != ['beyond']
    for name, (success, able) in outcomes.items():
        folder.write(replace(folder.read(name), success=success, able=able))
    print(f'{len(outcomes)} of {len(known)} episodes have an outcome now.')
    return 0
