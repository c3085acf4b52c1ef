r"""What the network that finds objects sees, in scenes that training never saw.

    python -m vla_humanoid_control.collection.object_views --split test --frames 1000 \
        --output data/objects/test
    python -m benchmarks.objects --views data/objects/test

Counted are objects of which half or more is visible, at 3.5 m or less on the floor and 1.5 m or
less on a table. What is less visible or farther away may be found, and need not be.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.confidence.metrics import wilson_interval
from vla_humanoid_control.data.object_views import COLUMNS, ObjectViews, read_object_views
from vla_humanoid_control.evaluation.impaired_view import KINDS, ImpairedView
from vla_humanoid_control.perception.objects import load_finder
from vla_humanoid_control.perception.seen import ObjectFinder, SeenObject
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.camera_noise import CameraNoise
from vla_humanoid_control.simulation.seeing import IN_VIEW, LEAST_PX
from vla_humanoid_control.support.geometry import wrap
from vla_humanoid_control.support.progress import ProgressLine
from vla_humanoid_control.tasks.vocabulary import COLOURS, SHAPES

FLOOR_M, TABLE_M = 3.5, 1.5
"""Objects that are farther away need not be found [m]."""
_OVERLAP = 0.3
"""A box is of an object whose box shares so much of their union with it."""
Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True)
class There:
    """An object that is there, and whether it must be found."""

    seen: SeenObject
    asked: bool


@dataclass
class Tally:
    """What was found, over pictures.

    Attributes:
        asked, found: Objects that had to be found, and those that were, of the right kind.
        reported, right: Objects that were reported, and those that are there, of that kind.
        pictures, whole: Pictures, and those in which every object was found and none made up.
        kinds, counted: Colours and shapes in a picture that had to be counted, and right counts.
        twins, twins_counted: Of those, kinds of which there are several.
        pairs, ordered: Neighbours of one kind, and those found in the right order.
        bearings_rad, distances: Errors of what was found [rad; share of the distance].
        times_s: How long a picture took [s].
    """

    asked: int = 0
    found: int = 0
    reported: int = 0
    right: int = 0
    pictures: int = 0
    whole: int = 0
    kinds: int = 0
    counted: int = 0
    twins: int = 0
    twins_counted: int = 0
    pairs: int = 0
    ordered: int = 0
    bearings_rad: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def add(self, truth: list[There], found: Iterable[SeenObject]) -> None:
        """Count one picture."""
        found = list(found)
        matches = _matched(truth, found)
        asked = [i for i, t in enumerate(truth) if t.asked]
        self.asked += len(asked)
        self.found += sum(i in matches for i in asked)
        self.reported += len(found)
        self.right += len(matches)
        self.pictures += 1
        self.whole += all(i in matches for i in asked) and len(matches) == len(found)
        for i, other in matches.items():
            if truth[i].asked:
                true = truth[i].seen
                self.bearings_rad.append(abs(wrap(other.bearing_rad - true.bearing_rad)))
                self.distances.append(abs(other.distance_m - true.distance_m) / true.distance_m)
        self._count(truth, found)
        self._order(truth, matches)

    def _count(self, truth: list[There], found: list[SeenObject]) -> None:
        """Kinds of which some must be found, and none is hard to say."""
        here = Counter((t.seen.colour, t.seen.shape) for t in truth if t.asked)
        unclear = {(t.seen.colour, t.seen.shape) for t in truth if not t.asked}
        seen = Counter((o.colour, o.shape) for o in found)
        for kind, count in here.items():
            if kind not in unclear:
                self.kinds += 1
                self.counted += seen[kind] == count
                self.twins += count > 1
                self.twins_counted += count > 1 and seen[kind] == count

    def _order(self, truth: list[There], matches: dict[int, SeenObject]) -> None:
        for i, one in matches.items():
            for j, other in matches.items():
                a, b = truth[i].seen, truth[j].seen
                if (a.colour, a.shape) == (b.colour, b.shape) \
                        and truth[i].asked and truth[j].asked \
                        and a.bearing_rad > b.bearing_rad + 0.05:
                    self.pairs += 1
                    self.ordered += one.bearing_rad > other.bearing_rad

    def lines(self) -> dict[str, str]:
        """What it comes to, name to value."""
        bearings, distances = np.degrees(self.bearings_rad or [np.nan]), self.distances or [np.nan]
        times = 1000 * np.array(self.times_s or [np.nan])
        return {'objects found (recall)': _share(self.found, self.asked),
                'reported and right (precision)': _share(self.right, self.reported),
                'pictures with all right': _share(self.whole, self.pictures),
                'right number of a kind': _share(self.counted, self.kinds),
                'right number of several alike': _share(self.twins_counted, self.twins),
                'left and right of two alike': _share(self.ordered, self.pairs),
                'bearing error, half and 95 % below [degrees]':
                    f'{np.median(bearings):.1f}, {np.quantile(bearings, .95):.1f}',
                'distance error, half and 95 % below [% of it]':
                    f'{100 * np.median(distances):.1f}, {100 * np.quantile(distances, .95):.1f}',
                'CPU time of a picture, half and 95 % below [ms]':
                    f'{np.median(times):.1f}, {np.quantile(times, .95):.1f}'}


def _share(part: int, whole: int) -> str:
    low, high = wilson_interval(part, whole)
    return f'{100 * part / max(1, whole):.1f} % of {whole} ({100 * low:.1f} to {100 * high:.1f})'


def _matched(truth: list[There], found: list[SeenObject]) -> dict[int, SeenObject]:
    """Index of each object that is there to what was found of it, of the same kind."""
    matches: dict[int, SeenObject] = {}
    for other in found:
        shares = [(_overlap(t.seen.box, other.box), i) for i, t in enumerate(truth)
                  if i not in matches
                  and (t.seen.colour, t.seen.shape) == (other.colour, other.shape)]
        best, index = max(shares, default=(0.0, -1))
        if best >= _OVERLAP or (index >= 0 and best > 0 and not truth[index].asked):
            matches[index] = other
    return matches


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, wide) * max(0.0, high)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def truths(rows: NDArray[np.float32]) -> list[There]:
    """The objects of a picture, from rows of `COLUMNS`."""
    result = []
    for row in rows:
        v = dict(zip(COLUMNS, row.tolist()))
        far = v['distance_m'] > (TABLE_M if v['on_table'] else FLOOR_M)
        seen = SeenObject(COLOURS[int(v['colour'])], SHAPES[int(v['shape'])], v['bearing_rad'],
                          v['distance_m'], (v['left'], v['top'], v['right'], v['bottom']),
                          bool(v['on_table']), v['share'])
        result.append(There(seen, v['share'] >= IN_VIEW and v['pixels'] >= LEAST_PX
                            and not far))
    return result


def measure(pictures: ObjectViews, finder: ObjectFinder, kind: str, seed: int = 0) -> Tally:
    """Look at all pictures.

    Args:
        pictures: Of one robot.
        finder: What is measured.
        kind: 'clear', or one of `KINDS`: every picture with another strength of it.
        seed: Decides the noise.
    """
    noise, tally = CameraNoise(seed), Tally()
    line = ProgressLine(kind)
    began = time.monotonic()
    for index in range(len(pictures)):
        rows = pictures.objects[pictures.objects[:, 0] == index]
        image = noise.on(pictures.image(index))
        if kind != 'clear':
            image = ImpairedView(kind, index)(image)
        joints = dict(zip(pictures.names, pictures.joints[index].tolist()))
        start = time.process_time()
        found = finder.find(image, joints)
        tally.times_s.append(time.process_time() - start)
        tally.add(truths(rows), found)
        rate = (index + 1) / (time.monotonic() - began)
        line.show((index + 1) / len(pictures), rate, 'pictures',
                  (len(pictures) - index - 1) / rate, '')
    line.close()
    return tally


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description='What the network that finds objects sees')
    parser.add_argument('--views', type=Path, required=True, metavar='DIR')
    parser.add_argument('--weights', type=Path, help='by default those in resource/objects/')
    parser.add_argument('--kinds', nargs='+', choices=('clear', *KINDS),
                        default=('clear', *KINDS))
    parser.add_argument('--json', type=Path, metavar='FILE')
    arguments = parser.parse_args()
    import torch
    torch.set_num_threads(1)
    pictures = read_object_views(arguments.views)
    finder = load_finder(load_robot(pictures.robot), arguments.weights)
    result = {}
    for kind in arguments.kinds:
        result[kind] = measure(pictures, finder, kind).lines()
        print(f'\n{kind}')
        for name, value in result[kind].items():
            print(f'  {name:50} {value}', flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
