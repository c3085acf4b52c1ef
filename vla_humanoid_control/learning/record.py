"""What a run of training leaves to look at: a log, TensorBoard events, a picture of the curves.

    log.jsonl      one JSON object a line
    tensorboard/   the same numbers: tensorboard --logdir RUN
    curves.png     training and validation losses by step
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from vla_humanoid_control.support.progress import JsonLog

matplotlib.use('Agg')
_VALIDATED = 'val/'
_COLUMNS = 3


class TrainingRecord:
    """Keeps the record of one run in its folder; a run that goes on, goes on in it.

    Args:
        folder: Of the run.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter
        self._folder = folder
        self._log = JsonLog(folder / 'log.jsonl')
        self._events = SummaryWriter(str(folder / 'tensorboard'))  # type: ignore[no-untyped-call]

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step."""
        self._log.write({'step': step, **values})
        for name, value in values.items():
            self._events.add_scalar(name, value, step)  # type: ignore[no-untyped-call]

    def draw(self) -> None:
        """Write the picture anew."""
        self._events.flush()  # type: ignore[no-untyped-call]
        draw_curves(self._folder / 'log.jsonl', self._folder / 'curves.png')

    def close(self) -> None:
        """The run is over."""
        self.draw()
        self._events.close()  # type: ignore[no-untyped-call]


def draw_curves(log: Path, picture: Path) -> None:
    """Draw the losses of a log; nothing where there is none yet."""
    if not log.exists():
        return
    records = [json.loads(line) for line in log.read_text(encoding='utf-8').splitlines()]
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for record in records:
        validated = any(name.startswith(_VALIDATED) for name in record)
        for name, value in record.items():
            if name not in ('step', 'spent_s', 'stage') and isinstance(value, (int, float)):
                kind = 'validation' if validated else 'training'
                curves.setdefault(name.removeprefix(_VALIDATED), {}).setdefault(kind, []).append(
                    (record.get('step', 0), value))
    if not curves:
        return
    rows = -(-len(curves) // _COLUMNS)
    figure = Figure(figsize=(4.6 * _COLUMNS, 2.9 * rows), layout='constrained')
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes, (name, kinds) in zip(panels, curves.items()):
        for kind, points in kinds.items():
            axes.plot(*zip(*points), label=kind, color={'training': '#4a78b8'}.get(
                kind, '#c8602c'), marker='.' if len(points) < 30 else None)
        axes.set_title(name, fontsize=11)
        axes.set_xlabel('step')
        axes.legend(fontsize=8)
    for axes in list(figure.axes)[len(curves):]:
        axes.axis('off')
    figure.savefig(picture, dpi=100)
