"""Every system on the same demonstrations, with the same minutes, in one table: `make compare`.

For each model of config/models/, at the size that learns on two cores:

    train     the same data, the same minutes
    trust     a calibrated confidence from rollouts of it
    eval      a part of config/suites/unseen.yaml, ungated
    exchanged the same episodes, each told the instruction of another: success must fall to chance
    cost      parameters, milliseconds of a forward pass at one and two threads, memory

What is done stays: the same command goes on where it was. The table goes to docs/models.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from vla_humanoid_control.confidence.metrics import wilson_interval
from vla_humanoid_control.evaluation.obedience import exchange
from vla_humanoid_control.evaluation.suite import load_suite
from vla_humanoid_control.models.config import distinct
from vla_humanoid_control.support.outputs import write_atomically
from vla_humanoid_control.support.resources import config_path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / 'docs' / 'models.md'
BEGIN, END = '<!-- compare: begin -->', '<!-- compare: end -->'
LATENCY_S = 0.1
"""At which all are recorded and judged: what one does on a slow machine is another question."""
FAMILIES = ('move', 'turn', 'go_to', 'reach', 'gesture')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, and write the table; 1 where a step failed, whose log says why."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, nargs='+', required=True, metavar='DIR',
                        help='demonstrations, of both splits')
    parser.add_argument('--runs', type=Path, default=Path('runs/compare'), metavar='DIR')
    parser.add_argument('--minutes', type=float, default=15, help='of training (default: 15)')
    parser.add_argument('--rollouts', type=int, default=200, help='for trust (default: 200)')
    parser.add_argument('--each', type=int, default=5,
                        help='every how many-th episode of the suite (default: 5)')
    parser.add_argument('--models', nargs='+', metavar='NAME', default=distinct(),
                        help='some of them (default: all that differ at this size)')
    given = parser.parse_args(arguments)
    given.runs.mkdir(parents=True, exist_ok=True)
    told = suites(given.runs, given.each)
    failed = [name for name in given.models if not compare(name, given, told)]
    rows = [row(name, given.runs / name) for name in given.models
            if (given.runs / name / 'cost.done').exists()]
    if rows:
        write_page(rows, given)
        print(PAGE)
    for name in failed:
        print(f'{name} failed: see {given.runs / name}/*.log', file=sys.stderr)
    return 1 if failed else 0


def suites(folder: Path, each: int) -> tuple[Path, Path]:
    """A part of the suite of unseen episodes, and the same with instructions exchanged."""
    episodes = [e for e in load_suite(config_path('suites', 'unseen.yaml'))
                if e.family in FAMILIES][::each]
    return (write_part(folder / 'unseen.yaml', [e.id for e in episodes]),
            write_part(folder / 'exchanged.yaml', [e.id for e in episodes], exchange(episodes)))


def write_part(path: Path, ids: Sequence[str], said: Sequence[str] = ()) -> Path:
    """Write some of the unseen episodes as a suite, told something else where that is given."""
    whole = {e['id']: e for e in yaml.safe_load(
        config_path('suites', 'unseen.yaml').read_text(encoding='utf-8'))}
    told = said or [whole[i]['instruction'] for i in ids]
    path.write_text(yaml.safe_dump([{**whole[i], 'instruction': words}
                                    for i, words in zip(ids, told, strict=True)]),
                    encoding='utf-8')
    return path


def compare(name: str, given: argparse.Namespace, told: tuple[Path, Path]) -> bool:
    """Run the steps of one system that are not done; whether all are."""
    folder = given.runs / name
    folder.mkdir(exist_ok=True)
    for step in ('train', 'trust', 'eval', 'exchanged', 'cost'):
        done = folder / f'{step}.done'
        if done.exists():
            continue
        print(f'{name}: {step} ...', flush=True)
        with (folder / f'{step}.log').open('w', encoding='utf-8') as log:
            ended = subprocess.run([sys.executable, '-m', *command(step, name, given, told)],
                                   stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, check=False)
        # Of a policy that never succeeds, nothing can be measured: the table says so.
        if ended.returncode and step != 'trust':
            return False
        done.write_text('', encoding='utf-8')
    return True


def command(step: str, name: str, given: argparse.Namespace, told: tuple[Path, Path]
            ) -> list[str]:
    """Module and arguments of a step."""
    folder = given.runs.resolve() / name
    vla, policy = ['vla_humanoid_control.cli.main'], ['--policy', str(folder / 'checkpoint')]
    latency, trust = ['--latency', str(LATENCY_S)], folder / 'trust'
    if step == 'train':
        return [*vla, 'train', '--model', name, '--data', *(str(d.resolve()) for d in given.data),
                '--output', str(folder), '--time-budget', str(given.minutes),
                '--learning-rate', '0.0007']
    if step == 'trust':
        return [*vla, 'trust', *policy, '--out', str(trust), '--episodes', str(given.rollouts),
                *latency, '--workers', str(os.cpu_count() or 1)]
    if step == 'cost':
        return ['benchmarks.cost', str(folder / 'checkpoint'), str(folder / 'cost.json')]
    measured = (trust / 'trust.json').exists()
    known = ['--trust', str(trust)] if measured else ['--allow-uncalibrated']
    suite = told[0 if step == 'eval' else 1].resolve()
    return [*vla, 'eval', '--suite', str(suite), *policy, *known, *latency, '--ungated',
            '--json', str(folder / f'{step}.json')]


def row(name: str, folder: Path) -> dict[str, Any]:
    """What the table says of one system."""
    plain, exchanged, cost = (json.loads((folder / f).read_text(encoding='utf-8'))
                              for f in ('eval.json', 'exchanged.json', 'cost.json'))
    return {'name': name, 'families': plain['families'], 'exchanged': exchanged['families'],
            'trusted': (folder / 'trust' / 'trust.json').exists(),
            **{k: plain.get(k) for k in ('auroc', 'ece', 'false_stop_rate')}, **cost}


def write_page(rows: Sequence[dict[str, Any]], given: argparse.Namespace) -> None:
    """Write the table into the page, between its two marks."""
    text = PAGE.read_text(encoding='utf-8')
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_atomically(PAGE, '\n'.join([before + BEGIN, '', *table(rows, given), '', END + after]
                                     ).encode())


def table(rows: Sequence[dict[str, Any]], given: argparse.Namespace) -> list[str]:
    """Lines of the table, best first."""
    lines = [f'`make compare`: {given.minutes:g} minutes of training each, latency '
             f'{1000 * LATENCY_S:.0f} ms, ungated.', '',
             '| system | success, 95 % interval | ' + ' | '.join(FAMILIES)
             + ' | exchanged | parameters | ms, 1 and 2 threads | MB | AUROC | calibration error '
             '| false stops |', '|' + '---|' * (len(FAMILIES) + 9)]
    for one in sorted(rows, key=lambda r: -_share(r['families'])[0]):
        share, low, high = _share(one['families'])
        told, _, _ = _share(one['exchanged'])
        figures = [_figure(one[k], one['trusted']) for k in ('auroc', 'ece')]
        stops = one['false_stop_rate']
        lines.append('| ' + ' | '.join([
            f'`{one["name"]}`', f'{share:.0%}, {low:.0%} to {high:.0%}',
            *(f'{_of(one["families"], f):.0%}' for f in FAMILIES), f'{told:.0%}',
            f'{one["parameters"] / 1e6:.2f} M', f'{one["ms_1"]:.1f}, {one["ms_2"]:.1f}',
            f'{one["memory_mb"]:.0f}', *figures,
            'none' if stops is None or not one['trusted'] else f'{stops:.1%}']) + ' |')
    return lines


def _share(families: dict[str, Any]) -> tuple[float, float, float]:
    n = sum(f['n'] for f in families.values())
    won = sum(f['successes'] for f in families.values())
    return won / n, *wilson_interval(won, n)


def _of(families: dict[str, Any], family: str) -> float:
    found = families.get(family)
    return found['successes'] / found['n'] if found else float('nan')


def _figure(value: float | None, trusted: bool) -> str:
    return 'none' if value is None or not trusted else f'{value:.3f}'


if __name__ == '__main__':
    sys.exit(main())
