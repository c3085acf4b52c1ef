"""An evaluation's report as text, for people."""

from __future__ import annotations

from typing import Any

from vla_humanoid_control.evaluation.suite import HELD_FAMILIES


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    every = report['families']
    lines = []
    if done := {name: row for name, row in every.items() if name not in HELD_FAMILIES}:
        rows = [(name, row) for family, of in done.items() for name, row in (
            (family, of), *((f'  {kind}', row) for kind, row in of.get('kinds', {}).items()))]
        width = max(14, *(len(name) for name, _ in rows))
        lines = [_head('family', 'success', width),
                 *(_line(name, row, width) + _asked(row) for name, row in rows), '',
                 *_falls(report), *_calibration(report)]
    if held := {name: row for name, row in every.items() if name in HELD_FAMILIES}:
        lines += [''] * bool(lines) + _held(held)
    return '\n'.join(lines)


def _falls(report: dict[str, Any]) -> list[str]:
    """Of a robot that can fall, how often it did."""
    if 'falls' not in report:
        return []
    falls = report['falls']
    return [f'fell in {falls["falls"]} of {falls["n"]} ({falls["wilson_low"]:.1%} to '
            f'{falls["wilson_high"]:.1%}), unnoticed by safety in {falls["unnoticed"]}', '']


def _asked(row: dict[str, Any]) -> str:
    """In how many the robot asked something, where that counts."""
    if 'asked' not in row:
        return ''
    asked = row['asked']
    return (f'   asked {asked["n"]} of {row["n"]} ({asked["wilson_low"]:.1%} to '
            f'{asked["wilson_high"]:.1%})')


def _held(families: dict[str, Any]) -> list[str]:
    """Rows of what the robot must not do; where they have kinds, a row for each."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for family, row in families.items():
        rows.append((family, row))
        rows += [(f'  {name}', row[name]) for name in ('known', 'unknown') if name in row]
        rows += [(f'    {kind}', of) for kind, of in row.get('kinds', {}).items()]
    width = max(14, *(len(name) for name, _ in rows))
    head = f'{_head("must not act", "held", width):{width + 33}} '
    return [head + 'of those that acted, held after (median, 95 %) [s]',
            *(f'{_line(name, row, width):{width + 33}} {_how(row)}' for name, row in rows)]


def _how(row: dict[str, Any]) -> str:
    """How many acted and were held; of requests, what held them, and how many were declared."""
    times = [('never' if t is None else f'{t:.2f}') for t in row['detection_s'].values()]
    acted = f'{row["acted_held"]} of {row["acted"]}' + (
        f', {times[0]}, {times[1]}' if row['acted'] else '')
    if 'declared' not in row:
        return acted
    return (f'{acted}; refused by the reader {row["by_reader"]}, held by the gate '
            f'{row["by_gate"]}, declared done {row["declared"]}')


def _head(what: str, share: str, width: int = 14) -> str:
    return f'{what:{width}} {"n":>4} {share:>8}   95 % interval'


def _line(name: str, row: dict[str, Any], width: int = 14) -> str:
    return (f'{name:{width}} {row["n"]:4d} {row["successes"] / row["n"]:8.1%}   '
            f'{row["wilson_low"]:.1%} to {row["wilson_high"]:.1%}')


def _calibration(report: dict[str, Any]) -> list[str]:
    lines = []
    for key, label in (('auroc', 'AUROC'), ('auprc_failure', 'AUPRC of failure'),
                       ('ece', 'calibration error'), ('brier', 'Brier score'),
                       ('balanced_accuracy', 'balanced accuracy'),
                       ('false_stop_rate', 'false stops'),
                       ('false_stops_per_h', 'of these, an hour'),
                       ('detected_rate', 'failures detected')):
        between = f' (95 % interval {report["auroc_low"]:.3f} to {report["auroc_high"]:.3f})' \
            if key == 'auroc' and report[key] is not None else ''
        lines.append(f'{label:18} {_number(report[key])}{between}')
    after = report['detection_s']
    lines.append(f'{"detected after [s]":18} {_number(after["median"])}' + (
        '' if after['p95'] is None else f' in the median, 95 % within {after["p95"]:.3f}'))
    lines.append(f'(confidence: its mean over the first {report["early_s"]:g} s, '
                 f'{report["n_judged"]} episodes)')
    for row in report['by_time']:
        lines.append(f'after {row["time_s"]:3g} s: {row["n"]:4d} still running, '
                     f'AUROC {_number(row["auroc"])}, AUPRC {_number(row["auprc_failure"])}')
    for name, row in (report['signals'] or {}).items():
        lines.append(f'{name} alone: AUROC {_number(row["auroc"])}, '
                     f'calibration error {_number(row["ece"])}')
    return lines


def _number(value: float | None) -> str:
    return 'not defined' if value is None else f'{value:.3f}'


def failures(report: dict[str, Any], most: int = 20) -> str:
    """What went wrong, one line an episode."""
    wrong = [e for e in report['episodes'] if not e['success']]
    lines = [f'{e["id"]}: {e["instruction"]!r}: {e["reason"]}' for e in wrong[:most]]
    if len(wrong) > most:
        lines.append(f'... and {len(wrong) - most} more')
    return '\n'.join(lines)
