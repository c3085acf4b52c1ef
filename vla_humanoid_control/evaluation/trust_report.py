"""How good a measured confidence is, on episodes that nothing of it was fitted on; and a page."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_humanoid_control.confidence import metrics
from vla_humanoid_control.confidence.artifact import Monitoring, TrustArtifact
from vla_humanoid_control.confidence.combine import ALPHA, IMPLAUSIBLE, Combination, smooth
from vla_humanoid_control.confidence.fitting import JUDGE, HeldOut
from vla_humanoid_control.confidence.gate import ConfidenceGate
from vla_humanoid_control.control.config import TaskConfig
from vla_humanoid_control.evaluation.held import HELD_WITHIN_S, watch_gate
from vla_humanoid_control.evaluation.report import build_report, draw_reliability
from vla_humanoid_control.evaluation.report_text import table
from vla_humanoid_control.evaluation.rollout import EpisodeResult
from vla_humanoid_control.learning.trust import Recorded
from vla_humanoid_control.support.outputs import write_atomically
from vla_humanoid_control.tasks.vocabulary import OUT_OF_SCOPE

ALPHAS = (0.01, 0.02, 0.05, 0.1)
"""Promised shares of false stops that are checked."""
_EARLY = 0.2
"""A success that is declared with more than this share of its time to go is declared too early."""
Series = tuple[tuple[float, float], ...]
"""Seconds since the instruction and confidence, of every answer."""


def judge(artifact: TrustArtifact, held_out: HeldOut, recorded: Recorded) -> dict[str, Any]:
    """Figures of the episodes that judge, ready for JSON.

    Returns:
        As `report.build_report` says, with `signals` for each signal alone; besides `promises`,
        for each of `ALPHAS` the share of successful episodes that its threshold stops, with its
        95 % interval, `broken`, of what was broken on purpose the share that is held, and where
        the policy does not say when it is done `done`, when what was learnt of that would say so.
    """
    asked = Monitoring.of(artifact, with_each=True)
    everything = _series(held_out, recorded, artifact.combination)
    alone = {name: _series(held_out, recorded, one) for name, one in asked.alone.items()}
    results = []
    for number in np.unique(held_out.episode[held_out.part == JUDGE]).tolist():
        episode, trace = recorded.episodes[number], everything[number]
        key = episode.tags.get('task', 'task')
        acted, held_s = watch_gate(trace, ConfidenceGate(asked.gate))
        # Where it could not succeed, success means that it would have been held.
        good = bool(episode.success) if episode.able else \
            held_s is not None and held_s <= HELD_WITHIN_S
        results.append(EpisodeResult(
            episode.id, key.partition(':')[0] if episode.able else OUT_OF_SCOPE, key,
            episode.prompt, good, bool(episode.success),
            float(episode.tags.get('seconds', trace[-1][0])),
            float(np.mean([c for _, c in trace])), 0, episode.reason, trace,
            {name: series[number] for name, series in alone.items()},
            acted=acted, held_s=held_s))
    report = build_report(results, asked.gate)
    lowest = [min(c for _, c in r.confidences) for r in results
              if r.success and r.task != OUT_OF_SCOPE]
    report['promises'] = [_promise(artifact.combination, alpha, lowest) for alpha in ALPHAS]
    threshold = artifact.combination.threshold(ALPHA)
    if artifact.learnt.progress is not None:
        report['done'] = _done(artifact, recorded)
    report['broken'] = {kind: _held(artifact.combination, values, threshold)
                        for kind, (_, values) in held_out.broken.items()}
    return report


def save_page(report: Mapping[str, Any], folder: Path, policy: str) -> Path:
    """Write `figures.json`, `reliability.png` and a page that shows them.

    Returns:
        The page.
    """
    figures = {name: value for name, value in report.items() if name != 'episodes'}
    write_atomically(folder / 'figures.json', json.dumps(figures, indent=1).encode())
    diagram = draw_reliability(dict(report), folder / 'reliability.png')
    picture = '' if diagram is None else (
        '<img alt="reliability diagram" src="data:image/png;base64,'
        f'{base64.b64encode(diagram.read_bytes()).decode()}">')
    rows = '\n'.join(
        f'<tr><td>{100 * p["alpha"]:g} %</td><td>{p["threshold"]:.3f}</td>'
        f'<td>{p["stopped"]} of {p["successes"]}</td>'
        f'<td>{100 * p["low"]:.1f} to {100 * p["high"]:.1f} %</td>'
        f'<td>{"kept" if p["kept"] else "broken"}</td></tr>' for p in report['promises'])
    page = folder / 'page.html'
    write_atomically(page, f"""<!doctype html>
<meta charset="utf-8"><title>Trust in {html.escape(policy)}</title>
<style>body {{ font-family: sans-serif; max-width: 60em; margin: 2em auto }}
td, th {{ padding: 0.2em 1em; text-align: left }}</style>
<h1>Trust in {html.escape(policy)}</h1>
<p>Of {report["n_judged"]} episodes that nothing was fitted on.</p>
{picture}
<pre>{html.escape(said(report))}</pre>
<h2>The promise</h2>
<p>Of successful episodes no more than a share alpha is to be stopped.</p>
<table><tr><th>alpha</th><th>threshold</th><th>stopped</th><th>95 % interval</th><th></th></tr>
{rows}</table>
""".encode())
    return page


def said(report: Mapping[str, Any]) -> str:
    """The report for people, as text."""
    lines = [table(dict(report)), '', *said_promises(report['promises'])]
    if done := report.get('done'):
        lines.append(f'done: told of {done["declared"]} of {done["successes"]} successes, too '
                     f'early of {done["early"]}, and of {done["declared_failures"]} of '
                     f'{done["failures"]} failures')
    for kind, share in report['broken'].items():
        lines.append(f'{kind}: {"none" if share is None else f"{100 * share:.1f} %"} held at once')
    return '\n'.join(lines)


def said_promises(promises: Sequence[Mapping[str, Any]]) -> list[str]:
    """How each promise was kept, for people."""
    return [f'alpha {100 * p["alpha"]:3g} %: stopped {p["stopped"]} of {p["successes"]} '
            f'successes ({100 * p["low"]:.1f} to {100 * p["high"]:.1f} %)'
            + ('' if p['promised'] <= p['alpha'] else
               f'; {p["threshold_from"]} successes set it, which promise '
               f'{100 * p["promised"]:.1f} % at best: record more') for p in promises]


def promises_of(artifact: TrustArtifact) -> list[dict[str, Any]]:
    """How an artifact keeps each of `ALPHAS`, in the episodes that nothing was fitted on."""
    lowest = artifact.held_out.lowest(artifact.combination, JUDGE).tolist()
    return [_promise(artifact.combination, alpha, lowest) for alpha in ALPHAS]


def _done(artifact: TrustArtifact, recorded: Recorded) -> dict[str, Any]:
    """When the policy would be taken to be done, in episodes that did and did not succeed."""
    config, answers = TaskConfig(), recorded.answers
    known = artifact.learnt.progress_of_many(answers.views, answers.sentences, answers.bodies)
    how_far, told, early, false = recorded.how_far, 0, 0, 0
    counts = {True: 0, False: 0}
    for number in np.unique(recorded.episode[recorded.part == JUDGE]).tolist():
        own, episode = recorded.episode == number, recorded.episodes[number]
        if not episode.able:
            continue
        counts[bool(episode.success)] += 1
        enough = np.convolve(known[own] >= config.done_threshold,
                             np.ones(config.done_ticks))[:own.sum()] >= config.done_ticks
        if not enough.any():
            continue
        moment = int(enough.argmax())
        if not episode.success:
            false += 1
        elif how_far[own][moment] < 1.0 - _EARLY:
            early += 1
        else:
            told += 1
    return {'successes': counts[True], 'declared': told, 'early': early,
            'failures': counts[False], 'declared_failures': false}


def _series(held_out: HeldOut, recorded: Recorded, combination: Combination
            ) -> dict[int, Series]:
    """What `/vla_confidence` would have shown, of each episode."""
    logits = smooth(combination.logits(held_out.values), held_out.episode, recorded.time_s)
    confidence = np.nan_to_num(combination.calibration(logits))
    confidence[recorded.answers.plain[IMPLAUSIBLE] > 0] = 0.0
    series: dict[int, list[tuple[float, float]]] = {}
    for episode, time_s, value in zip(held_out.episode.tolist(), recorded.time_s.tolist(),
                                      confidence.tolist()):
        series.setdefault(episode, []).append((time_s, value))
    return {episode: tuple(values) for episode, values in series.items()}


def _promise(combination: Combination, alpha: float, lowest: Sequence[float]) -> dict[str, Any]:
    threshold = combination.threshold(alpha)
    stopped = sum(c < threshold for c in lowest)
    low, high = metrics.wilson_interval(stopped, len(lowest))
    return {'alpha': alpha, 'threshold': threshold, 'stopped': stopped,
            'successes': len(lowest), 'low': low, 'high': high, 'kept': low <= alpha,
            'promised': combination.promised(alpha), 'threshold_from': len(combination.lowest)}


def _held(combination: Combination, values: Mapping[str, Any], threshold: float) -> float | None:
    confidence = np.nan_to_num(combination.calibration(combination.logits(values)))
    return float((confidence < threshold).mean()) if len(confidence) else None
