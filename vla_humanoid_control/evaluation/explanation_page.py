"""An explanation as a picture: the image, and its maps for the instruction and each word."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vla_humanoid_control.policy.explanation import Explanation

matplotlib.use('Agg')
_COLUMNS = 4


def draw_explanation(explanation: Explanation, title: str, path: Path) -> None:
    """Write the picture as PNG."""
    panels: list[tuple[str, NDArray[np.float32] | None]] = [
        ('as the policy sees it', None), ('the whole instruction', explanation.whole),
        *((f'"{word}"', one) for word, one in zip(explanation.words, explanation.each)),
        *((f'attention of {name}', one) for name, one in explanation.attention.items())]
    rows = math.ceil(len(panels) / _COLUMNS)
    figure = Figure(figsize=(3.6 * _COLUMNS, 3.0 * rows + 0.6), layout='constrained')
    figure.suptitle(title, fontsize=13)
    for axes, panel in zip(figure.subplots(rows, _COLUMNS, squeeze=False).flat,
                           [*panels, *[None] * (rows * _COLUMNS - len(panels))]):
        axes.axis('off')
        if panel is None:
            continue
        name, map_ = panel
        axes.set_title(name, fontsize=11)
        axes.imshow(explanation.image)
        if map_ is not None:
            axes.imshow(map_, cmap='inferno', alpha=0.6, interpolation='bilinear')
    figure.savefig(path, dpi=110)
