"""Writes the suite of scenes and phrasings that training never saw.

python -m vla_humanoid_control.evaluation.generate --out config/suites/unseen.yaml
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import yaml

from vla_humanoid_control.language.phrasings import FAMILIES, phrasings

FIRST_SEED = 2**40
"""Collection draws its scene seeds below 2**31: no scene of this suite was trained on."""
_ARGUMENTS = {'move': ('direction',), 'turn': ('direction',), 'stop': (),
              'go_to': ('colour', 'shape'), 'reach': ('colour', 'shape'), 'gesture': ('gesture',)}


def generate(per_family: int, seed: int) -> list[dict[str, Any]]:
    """Episodes in the form of a suite, the same ones for the same arguments.

    Args:
        per_family: Episodes for each family, spread evenly over its arguments.
        seed: Decides which phrasings are drawn.
    """
    rng = random.Random(f'unseen/{seed}')
    episodes: list[dict[str, Any]] = []
    for family, arguments in FAMILIES.items():
        unused: dict[str, list[str]] = {}
        for number in range(per_family):
            argument = arguments[number % len(arguments)] if arguments else ''
            key = f'{family}:{argument}' if argument else family
            if not unused.get(key):  # each phrasing once, until all were used
                unused[key] = rng.sample(phrasings(key, 'test'), len(phrasings(key, 'test')))
            values = dict(zip(_ARGUMENTS[family], argument.split(':')))
            episodes.append({'id': f'{family}-{number:03d}', 'instruction': unused[key].pop(),
                             'task': family, **values,
                             'seed': FIRST_SEED + seed * 10**6 + len(episodes)})
    return episodes


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--per-family', type=int, default=100)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, required=True)
    arguments = parser.parse_args()
    header = (f'# Scenes and phrasings that training never saw, {arguments.per_family} episodes a '
              'family.\n# Made by python -m vla_humanoid_control.evaluation.generate '
              f'--per-family {arguments.per_family} --seed {arguments.seed}\n')
    lines = [yaml.safe_dump(e, default_flow_style=True, sort_keys=False, width=10**6,
                            allow_unicode=True).strip()
             for e in generate(arguments.per_family, arguments.seed)]
    arguments.out.write_text(header + ''.join(f'- {line}\n' for line in lines), encoding='utf-8')


if __name__ == '__main__':
    main()
