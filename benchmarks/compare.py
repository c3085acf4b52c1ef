"""Every system on the same demonstrations, with the same minutes, in one table: `make compare`.

For each model of config/models/, at the size that learns on two cores:

    train     the same data, the same minutes
    trust     a calibrated confidence from rollouts of it
    eval      a part of config/suites/unseen.yaml, ungated
    exchanged the same episodes, each told the instruction of another: success must fall to chance

As many systems at once as there are cores, each on one thread. Then, one after the other, so
that they can be compared,

    cost      parameters, milliseconds of a forward pass at one and two threads, memory

What is done stays: the same command goes on where it was. What was measured goes to
docs/models.json, and the table made of it to docs/models.md; systems that --models does not name
keep what they have there, if it was measured in the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from vla_humanoid_control.confidence.metrics import wilson_interval
from vla_humanoid_control.evaluation.obedience import exchange
from vla_humanoid_control.evaluation.suite import load_suite
from vla_humanoid_control.models.config import distinct
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.outputs import write_atomically
from vla_humanoid_control.support.resources import config_path

ROOT = Path(__file__).resolve().parent.parent
PAGE, FIGURES = ROOT / 'docs' / 'models.md', ROOT / 'docs' / 'models.json'
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
    parser.add_argument('--jobs', type=int, default=os.cpu_count() or 1,
                        help='systems at once, each on one thread (default: one a core)')
    parser.add_argument('--models', nargs='+', metavar='NAME', default=distinct(),
                        help='some of them (default: all that differ at this size)')
    given = parser.parse_args(arguments)
    given.runs.mkdir(parents=True, exist_ok=True)
    told = suites(given.runs, given.each)
    with ThreadPoolExecutor(given.jobs) as pool:
        whole = list(pool.map(lambda name: compare(name, given, told), given.models))
    failed = [name for name, is_whole in zip(given.models, whole, strict=True) if not is_whole]
    done = {name: measured(given.runs / name) for name in given.models if name not in failed}
    figures = merge(FIGURES, {'minutes': given.minutes, 'latency_s': LATENCY_S,
                              'rollouts': given.rollouts, 'each': given.each}, done)
    if done:
        for name, system in figures['systems'].items():
            system['cost'] = cost(name, given.runs)
        write_atomically(FIGURES, (json.dumps(figures, indent=1) + '\n').encode())
        write_page(figures)
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
    for step in ('train', 'trust', 'eval', 'exchanged'):
        done = folder / f'{step}.done'
        if done.exists():
            continue
        print(f'{name}: {step} ...', flush=True)
        code = run(command(step, name, given, told), folder / f'{step}.log')
        # Of a policy that never succeeds, nothing can be measured: the table says so.
        if code and step != 'trust':
            return False
        done.write_text('', encoding='utf-8')
    return True


def run(module: Sequence[str], log: Path) -> int:
    """Run a module with its arguments on one thread; its exit code."""
    with log.open('w', encoding='utf-8') as file:
        return subprocess.run(
            [sys.executable, '-m', *module], stdout=file, stderr=subprocess.STDOUT, cwd=ROOT,
            env={**os.environ, 'OMP_NUM_THREADS': '1'}, check=False).returncode


def command(step: str, name: str, given: argparse.Namespace, told: tuple[Path, Path]
            ) -> list[str]:
    """Module and arguments of a step."""
    folder = given.runs.resolve() / name
    vla, policy = ['vla_humanoid_control.cli.main'], ['--policy', str(folder / 'checkpoint')]
    latency, trust = ['--latency', str(LATENCY_S)], folder / 'trust'
    if step == 'train':
        return [*vla, 'train', '--model', name, '--data', *(str(d.resolve()) for d in given.data),
                '--output', str(folder), '--time-budget', str(given.minutes),
                '--batch-size', '64', '--learning-rate', '0.0007', '--threads', '1']
    if step == 'trust':
        return [*vla, 'trust', *policy, '--out', str(trust), '--episodes', str(given.rollouts),
                *latency, '--workers', '1']
    known = ['--trust', str(trust)] if is_trusted(folder) else ['--allow-uncalibrated']
    suite = told[0 if step == 'eval' else 1].resolve()
    return [*vla, 'eval', '--suite', str(suite), *policy, *known, *latency, '--ungated',
            '--json', str(folder / f'{step}.json')]


def is_trusted(folder: Path) -> bool:
    """Whether a confidence could be measured."""
    return (folder / 'trust' / 'trust.json').exists()


def measured(folder: Path) -> dict[str, Any]:
    """What the steps of one system gave, without its cost."""
    plain, exchanged = (json.loads((folder / f'{step}.json').read_text(encoding='utf-8'))
                        for step in ('eval', 'exchanged'))
    said = {k: plain.get(k) for k in ('auroc', 'ece', 'false_stop_rate')}
    return {'families': counted(plain), 'exchanged': counted(exchanged),
            'trust': said if is_trusted(folder) else None}


def counted(result: dict[str, Any]) -> dict[str, list[int]]:
    """Successes and episodes of each family."""
    return {family: [of['successes'], of['n']] for family, of in result['families'].items()}


def merge(file: Path, how: dict[str, float], systems: dict[str, Any]) -> dict[str, Any]:
    """What is known of all systems: `systems`, and those of the file that were measured alike."""
    known: dict[str, Any] = {}
    if file.exists():
        before = json.loads(file.read_text(encoding='utf-8'))
        known = before['systems'] if before['how'] == how else {}
    return {'how': how, 'systems': {**known, **systems}}


def cost(name: str, runs: Path) -> dict[str, float]:
    """What an answer of a system takes, which does not depend on what it has learnt.

    Raises:
        UserError: It cannot be measured; says where the log is.
    """
    out, log = (runs / f'{name}.cost.{kind}' for kind in ('json', 'log'))
    if not out.exists():
        print(f'{name}: cost ...', flush=True)
        if run(['benchmarks.cost', name, str(out.resolve())], log):
            raise UserError(f'The cost of {name} could not be measured: see {log}.')
    figures: dict[str, float] = json.loads(out.read_text(encoding='utf-8'))
    return figures


def write_page(figures: dict[str, Any]) -> None:
    """Write the table into the page, between its two marks."""
    text = PAGE.read_text(encoding='utf-8')
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_atomically(PAGE, '\n'.join([before + BEGIN, '', *table(figures), '', END + after]
                                     ).encode())


def table(figures: dict[str, Any]) -> list[str]:
    """Lines of the table, best first."""
    how = figures['how']
    lines = [f'`make compare`: {how["minutes"]:g} minutes of training on one core, '
             f'{how["rollouts"]:g} rollouts for trust, latency {1000 * how["latency_s"]:.0f} ms, '
             'ungated.', '',
             '| system | success, 95 % interval | ' + ' | '.join(FAMILIES)
             + ' | exchanged | parameters | ms, 1 and 2 threads | MB | AUROC | calibration error '
             '| false stops |', '|' + '---|' * (len(FAMILIES) + 9)]
    for name, one in sorted(figures['systems'].items(),
                            key=lambda system: -_share(system[1]['families'])[0]):
        share, low, high = _share(one['families'])
        spent, trust = one['cost'], one['trust'] or {}
        lines.append('| ' + ' | '.join([
            f'`{name}`', f'{share:.0%}, {low:.0%} to {high:.0%}',
            *(_of(one['families'], family) for family in FAMILIES),
            f'{_share(one["exchanged"])[0]:.0%}', f'{spent["parameters"] / 1e6:.2f} M',
            f'{spent["ms_1"]:.1f}, {spent["ms_2"]:.1f}', f'{spent["memory_mb"]:.0f}',
            _figure(trust.get('auroc'), '.2f'), _figure(trust.get('ece'), '.2f'),
            _figure(trust.get('false_stop_rate'), '.1%')]) + ' |')
    return lines


def _share(families: dict[str, list[int]]) -> tuple[float, float, float]:
    won, n = (sum(column) for column in zip(*families.values(), strict=True))
    return won / n, *wilson_interval(won, n)


def _of(families: dict[str, list[int]], family: str) -> str:
    won, n = families.get(family, (0, 0))
    return f'{won / n:.0%}' if n else 'none'


def _figure(value: float | None, form: str) -> str:
    return 'none' if value is None else format(value, form)


if __name__ == '__main__':
    sys.exit(main())
