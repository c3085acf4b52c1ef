"""What an evaluation gives: JSON for programs, a table and a reliability diagram for people."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vla_humanoid_control.errors import UserError
from vla_humanoid_control.evaluation import metrics
from vla_humanoid_control.evaluation.rollout import EpisodeResult
from vla_humanoid_control.simulation.tasks import FAMILIES

EARLY_S = 2.0
"""Confidence is judged by its mean over this long from the instruction: later it would only
report what has already happened [s]."""
TIMES_S = (0.5, 1.0, 2.0, 3.0, 5.0, 8.0)


def build_report(results: Sequence[EpisodeResult], threshold: float,
                 close_threshold: float | None = None) -> dict[str, Any]:
    """The report, ready for JSON.

    Args:
        results: Of every episode.
        threshold: The gate's opening threshold, for the measures that need a decision.
        close_threshold: Below it an open gate closes; None takes `threshold`.

    Returns:
        `episodes`, `families`, and of the early confidence against success `auroc`,
        `auprc_failure`, `ece`, `brier`, `balanced_accuracy`, `reliability`; `by_time` with the
        AUROC and AUPRC of the confidence at fixed times since the instruction;
        `false_stop_rate`, the share of successes on the way to which the gate would close; and
        `detected_rate` and `detection_s`, the share of failures at which it does, and the median
        time. None where a measure is not defined, as without any failure.
    """
    judged = [(score, r.success) for r in results if (score := early_confidence(r)) is not None]
    scores, labels = [s for s, _ in judged], [y for _, y in judged]
    close = threshold if close_threshold is None else close_threshold
    stops = {outcome: [_first_below(r, close) for r in results
                       if r.success is outcome and r.confidences] for outcome in (True, False)}
    detected = sorted(t for t in stops[False] if t is not None)
    return {
        'episodes': [_episode(r) for r in results],
        'families': families(results),
        'auroc': metrics.auroc(scores, labels),
        'auprc_failure': metrics.auprc([1 - s for s in scores], [not y for y in labels]),
        'ece': metrics.expected_calibration_error(scores, labels),
        'brier': metrics.brier_score(scores, labels),
        'balanced_accuracy': metrics.balanced_accuracy(scores, labels, threshold),
        'false_stop_rate': _share(stops[True]),
        'detected_rate': _share(stops[False]),
        'detection_s': statistics.median(detected) if detected else None,
        'early_s': EARLY_S,
        'n_judged': len(judged),
        'by_time': [_at_time(results, t) for t in TIMES_S],
        'reliability': [asdict(b) for b in metrics.reliability(scores, labels)],
    }


def _first_below(result: EpisodeResult, threshold: float) -> float | None:
    """When an open gate would first have closed [s]; None where never, or where none opened."""
    opened = False
    for time_s, confidence in result.confidences:
        opened = opened or confidence >= threshold
        if confidence < threshold and (opened or not result.success):
            return time_s
    return None


def _share(times: Sequence[float | None]) -> float | None:
    return sum(t is not None for t in times) / len(times) if times else None


def early_confidence(result: EpisodeResult) -> float | None:
    """Mean confidence over the first `EARLY_S`; None where the policy was not asked."""
    early = [c for t, c in result.confidences if t <= EARLY_S]
    return sum(early) / len(early) if early else None


def families(results: Sequence[EpisodeResult]) -> dict[str, dict[str, float]]:
    """Successes by family, with the 95 % Wilson interval."""
    table = {}
    for family in FAMILIES:
        own = [r for r in results if r.task == family]
        if own:
            successes = sum(r.success for r in own)
            low, high = metrics.wilson_interval(successes, len(own))
            table[family] = {'n': len(own), 'successes': successes, 'wilson_low': low,
                             'wilson_high': high}
    return table


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f'{"family":10} {"n":>4} {"success":>8}   95 % interval']
    for family, row in report['families'].items():
        lines.append(f'{family:10} {row["n"]:4d} {row["successes"] / row["n"]:8.1%}   '
                     f'{row["wilson_low"]:.1%} to {row["wilson_high"]:.1%}')
    lines.append('')
    for key, label in (('auroc', 'AUROC'), ('ece', 'calibration error'), ('brier', 'Brier score'),
                       ('balanced_accuracy', 'balanced accuracy'),
                       ('false_stop_rate', 'false stops'),
                       ('detected_rate', 'failures detected'),
                       ('detection_s', 'detected after [s]')):
        value = report[key]
        lines.append(f'{label:18} ' + ('not defined on these episodes' if value is None
                                       else f'{value:.3f}'))
    lines.append(f'(confidence: its mean over the first {report["early_s"]:g} s, '
                 f'{report["n_judged"]} episodes)')
    return '\n'.join(lines)


def failures(report: dict[str, Any], most: int = 20) -> str:
    """What went wrong, one line an episode."""
    wrong = [e for e in report['episodes'] if not e['success']]
    lines = [f'{e["id"]}: {e["instruction"]!r}: {e["reason"]}' for e in wrong[:most]]
    if len(wrong) > most:
        lines.append(f'... and {len(wrong) - most} more')
    return '\n'.join(lines)


def save_report(report: dict[str, Any], path: Path) -> Path | None:
    """Write the JSON, and beside it the reliability diagram.

    Returns:
        The picture, or None where matplotlib is not installed.

    Raises:
        UserError: The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')
    except OSError as error:
        raise UserError(f'Cannot write {path}: {error.strerror}.') from error
    return draw_reliability(report, path.with_suffix('.png'))


def draw_reliability(report: dict[str, Any], path: Path) -> Path | None:
    """Accuracy over confidence by bin, with the number of episodes below."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    bins = [b for b in report['reliability'] if b['n']]
    figure = Figure(figsize=(5, 5.6), layout='constrained')
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    width = 1 / metrics.ECE_BINS
    middles = [(b['low'] + b['high']) / 2 for b in bins]
    upper.bar(middles, [b['accuracy'] for b in bins], width * 0.92, color='#4c78a8',
              label='success rate')
    upper.plot([0, 1], [0, 1], color='0.4', linewidth=1, linestyle='--', label='calibrated')
    upper.scatter([b['confidence'] for b in bins], [b['accuracy'] for b in bins], s=14,
                  color='black', label='mean confidence of the bin', zorder=3)
    ece = report['ece']
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel='success rate',
              title='Reliability' if ece is None else f'Reliability, calibration error {ece:.3f}')
    upper.legend(loc='upper left', fontsize=8)
    lower.bar(middles, [b['n'] for b in bins], width * 0.92, color='0.6')
    lower.set(xlabel=f'confidence (mean of the first {report["early_s"]:g} s)', ylabel='episodes')
    figure.savefig(path, dpi=120)
    return path


def _episode(result: EpisodeResult) -> dict[str, Any]:
    row = asdict(result)
    del row['confidences']
    row['inferences'] = len(result.confidences)
    row['early_confidence'] = early_confidence(result)
    return row


def _at_time(results: Sequence[EpisodeResult], time_s: float) -> dict[str, Any]:
    """AUROC of the latest confidence at a time, over the episodes that still run then."""
    scores, labels = [], []
    for result in results:
        before = [c for t, c in result.confidences if t <= time_s]
        if before and result.seconds >= time_s:
            scores.append(before[-1])
            labels.append(result.success)
    return {'time_s': time_s, 'n': len(scores), 'auroc': metrics.auroc(scores, labels),
            'auprc_failure': metrics.auprc([1 - s for s in scores], [not y for y in labels])}
