"""What an evaluation gives: JSON for programs, and a reliability diagram for people."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from vla_humanoid_control.confidence import metrics
from vla_humanoid_control.confidence.combine import EARLY_S
from vla_humanoid_control.confidence.gate import ConfidenceGate, GateConfig
from vla_humanoid_control.evaluation.camera_faults import KNOWN, UNKNOWN
from vla_humanoid_control.evaluation.held import replay
from vla_humanoid_control.evaluation.rollout import EpisodeResult
from vla_humanoid_control.evaluation.suite import BROKEN_CAMERA, HELD_FAMILIES, SIGHT_FAMILIES
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.vocabulary import FAMILIES, OUT_OF_SCOPE

TIMES_S = (0.5, 1.0, 2.0, 4.0, 8.0)


def build_report(results: Sequence[EpisodeResult], gate: GateConfig) -> dict[str, Any]:
    """The report, ready for JSON.

    Args:
        results: Of every episode.
        gate: The gate's configuration, for the measures that need a decision.

    Returns:
        `episodes`, `families`, of robots that walk `falls`, and of the early confidence against
        success `auroc` with its 95 % interval `auroc_low` and `auroc_high`, `auprc_failure`,
        `ece`, `brier`, `balanced_accuracy`, `reliability`; `by_time` with the AUROC and AUPRC of
        the confidence at fixed times since the instruction;
        `false_stop_rate`, the share of successes on the way to which the gate closes again or
        never opens (which only an ungated run can show); `false_stops_per_h`, how often it does so
        in an hour of successful operation; and `detected_rate` and `detection_s`,
        the share of failures at which it is closed before the end, and how soon; `signals` with
        the AUROC, AUPRC, calibration error and Brier score of each signal alone, as if the others
        were switched off, or None where they were not measured, as through the node graph. None
        where a measure is not defined, as without any failure. All of them leave out
        `HELD_FAMILIES`, which have a measure of their own in `families`.
    """
    own = [r for r in results if r.task not in HELD_FAMILIES]
    stops = {outcome: [_closed_s(r, gate) for r in own if r.success is outcome and r.confidences]
             for outcome in (True, False)}
    scores, labels = _judged(own)
    quality = _quality(own)
    low, high = metrics.auroc_interval(quality['auroc'], sum(labels), labels.count(False))
    return {
        'episodes': [episode_row(r) for r in results],
        'families': families(results),
        **_falls(results),
        **quality,
        'auroc_low': low,
        'auroc_high': high,
        'balanced_accuracy': metrics.balanced_accuracy(scores, labels, gate.open_threshold),
        'gate': {'open_threshold': gate.open_threshold, 'close_threshold': gate.close_threshold},
        'false_stop_rate': _share(stops[True]),
        'false_stops_per_h': _per_hour(own, gate),
        'detected_rate': _share(stops[False]),
        'detection_s': _spread([t for t in stops[False] if t is not None]),
        'early_s': EARLY_S,
        'n_judged': len(scores),
        'by_time': [_at_time(own, t) for t in TIMES_S],
        'reliability': [asdict(b) for b in metrics.reliability(scores, labels)],
        'signals': None if all(r.signals is None for r in results) else _signals(own),
    }


def _falls(results: Sequence[EpisodeResult]) -> dict[str, dict[str, Any]]:
    """`falls`, and how many of them nobody noticed; nothing of a robot that cannot fall."""
    known = [r.fell for r in results if r.fell is not None]
    if not known:
        return {}
    n = len(known) - known.count('no')
    low, high = metrics.wilson_interval(n, len(known))
    return {'falls': {'n': len(known), 'falls': n, 'unnoticed': known.count('unnoticed'),
                      'wilson_low': low, 'wilson_high': high}}


def _signals(results: Sequence[EpisodeResult]) -> dict[str, dict[str, float | None]]:
    """The quality of each signal, judged as if it were the confidence."""
    alone: dict[str, list[EpisodeResult]] = {}
    for result in results:
        for name, confidences in (result.signals or {}).items():
            alone.setdefault(name, []).append(replace(result, confidences=confidences))
    return {name: _quality(alone[name]) for name in sorted(alone)}


def _judged(results: Sequence[EpisodeResult]) -> tuple[list[float], list[bool]]:
    """Early confidence and success of the episodes in which the policy was asked."""
    judged = [(score, r.success) for r in results if (score := early_confidence(r)) is not None]
    return [s for s, _ in judged], [y for _, y in judged]


def _quality(results: Sequence[EpisodeResult]) -> dict[str, float | None]:
    """How well early confidence tells success from failure, and how honest it is."""
    scores, labels = _judged(results)
    return {**_telling_apart(scores, labels),
            'ece': metrics.expected_calibration_error(scores, labels),
            'brier': metrics.brier_score(scores, labels)}


def _telling_apart(scores: Sequence[float], labels: Sequence[bool]) -> dict[str, float | None]:
    return {'auroc': metrics.auroc(scores, labels),
            'auprc_failure': metrics.auprc([1 - s for s in scores], [not y for y in labels])}


def _per_hour(results: Sequence[EpisodeResult], config: GateConfig) -> float | None:
    """Closings of the gate in an hour of episodes that succeeded; one that never opens is one."""
    good = [r for r in results if r.success and r.confidences]
    hours = sum(r.seconds for r in good) / 3600
    return sum(_closings(r, config) for r in good) / hours if hours else None


def _closings(result: EpisodeResult, config: GateConfig) -> int:
    opens = [is_open for _, is_open in replay(result.confidences, ConfidenceGate(config))]
    closings = sum(before and not now for before, now in pairwise(opens))
    return closings if any(opens) else 1


def _closed_s(result: EpisodeResult, config: GateConfig) -> float | None:
    """When the gate first closed, by its own rules [s]; None where it did not.

    A gate that never opened has been closed from the first inference on; likewise on a failure,
    until it opens. On the way to a success a gate that opens late stops nothing.
    """
    opened = False
    for time_s, is_open in replay(result.confidences, ConfidenceGate(config)):
        opened = opened or is_open
        if not is_open and (opened or not result.success):
            return time_s
    return None if opened or not result.confidences else result.confidences[0][0]


def _share(times: Sequence[float | None]) -> float | None:
    return sum(t is not None for t in times) / len(times) if times else None


def _spread(times: Sequence[float | None]) -> dict[str, float | None]:
    """Times by which half and 95 % had come [s]; None is a time that never came, or does not."""
    if not times:
        return {'median': None, 'p95': None}
    known = sorted(math.inf if t is None else t for t in times)
    values = {name: known[math.ceil(share * len(known)) - 1]
              for name, share in (('median', 0.5), ('p95', 0.95))}
    return {name: round(v, 3) if math.isfinite(v) else None for name, v in values.items()}


def early_confidence(result: EpisodeResult) -> float | None:
    """Mean confidence over the first `EARLY_S`; None where the policy was not asked."""
    early = [c for t, c in result.confidences if t <= EARLY_S]
    return sum(early) / len(early) if early else None


def families(results: Sequence[EpisodeResult]) -> dict[str, dict[str, Any]]:
    """Successes by family, with the 95 % Wilson interval.

    Where episodes have a kind, all of it for each of the `kinds`. `SIGHT_FAMILIES` also have
    `asked`, in how many the robot asked something, with its interval. `HELD_FAMILIES` also have
    `acted`, the episodes in which the gate was open and there was something to hold; of these
    `acted_held`; and `detection_s`, how soon. `broken_camera` has the same for those that are
    `known` and `unknown` to training.
    `out_of_scope` also has `declared`, the episodes that were declared done, and of those that
    were held `by_reader`, refused before anything began, and `by_gate`.
    """
    rows: dict[str, dict[str, Any]] = {}
    others = sorted({r.task for r in results} - {*FAMILIES, *HELD_FAMILIES})
    for family in (*FAMILIES, *others, *HELD_FAMILIES):
        own = [r for r in results if r.task == family]
        if not own:
            continue
        rows[family] = _row(own)
        if kinds := sorted({kind for r in own if (kind := _kind(r)) is not None}):
            rows[family]['kinds'] = {kind: _row([r for r in own if _kind(r) == kind])
                                     for kind in kinds}
        if family == BROKEN_CAMERA:
            rows[family] |= {name: _row(some) for name, group in
                             (('known', KNOWN), ('unknown', UNKNOWN))
                             if (some := [r for r in own if r.camera in group])}
    return rows


def proportion(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """How many succeeded, with the 95 % Wilson interval."""
    successes = sum(r.success for r in results)
    low, high = metrics.wilson_interval(successes, len(results))
    return {'n': len(results), 'successes': successes, 'wilson_low': low, 'wilson_high': high}


def _kind(result: EpisodeResult) -> str | None:
    """What the episodes of its family are counted by beside the family."""
    return result.camera if result.task == BROKEN_CAMERA else result.kind


def _row(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """All that is counted of some episodes of one family."""
    row, family = proportion(results), results[0].task
    if family in HELD_FAMILIES:
        acted = [r for r in results if r.acted]
        row |= {'acted': len(acted), 'acted_held': sum(r.success for r in acted),
                'detection_s': _spread([r.held_s for r in acted])}
    if family in SIGHT_FAMILIES:
        asked = sum(r.asked for r in results)
        low, high = metrics.wilson_interval(asked, len(results))
        row['asked'] = {'n': asked, 'wilson_low': low, 'wilson_high': high}
    if family == OUT_OF_SCOPE:
        by_reader = sum(r.success and bool(r.refused) for r in results)
        row |= {'declared': sum(r.declared_done for r in results), 'by_reader': by_reader,
                'by_gate': row['successes'] - by_reader}
    return row


def save_report(report: dict[str, Any], path: Path) -> Path | None:
    """Write the JSON, and beside it the reliability diagram.

    Returns:
        The picture, or None where matplotlib is not installed or there is nothing to draw.

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
    """Accuracy over confidence by bin, with the number of episodes below; None without any."""
    bins = [b for b in report['reliability'] if b['n']]
    if not bins:
        return None
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(5, 5.6), layout='constrained')
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={'height_ratios': (4, 1)})
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


def episode_row(result: EpisodeResult) -> dict[str, Any]:
    """An episode as the report has it: without the confidence of each inference."""
    row = asdict(result)
    del row['confidences'], row['signals']
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
    return {'time_s': time_s, 'n': len(scores), **_telling_apart(scores, labels)}
