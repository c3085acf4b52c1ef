"""Figures of the soak run, from made-up samples."""

import json
from dataclasses import asdict

import pytest

pytest.importorskip('psutil')

from benchmarks.soak import TICKS, Samples, idle, main, table, wear


def samples(growth_mb_per_s: float, handles_per_s: float = 0.0) -> Samples:
    """Ten minutes, the first half of which does not count."""
    times = [float(t) for t in range(600)]
    return Samples(times, [300.0 + growth_mb_per_s * t for t in times],
                   [40 + int(handles_per_s * t) for t in times], [5.0 + 0.25 * t for t in times])


def test_steady_process() -> None:
    w = wear(samples(0.0), 6000, 0, '')
    assert (w.memory_growth_mb_per_h, w.handles_growth_per_h) == (0.0, 0.0)
    assert (w.handles_start, w.handles_end, w.cpu_share) == (40, 40, 0.25)


def test_leak_shows_as_slope() -> None:
    w = wear(samples(0.01, 0.1), 6000, 3, '')
    assert w.memory_growth_mb_per_h == pytest.approx(36.0, abs=0.2)
    assert w.handles_growth_per_h == pytest.approx(360.0, rel=0.02)


def test_start_does_not_count() -> None:
    """Weights that are loaded in the first minute are no leak."""
    s = samples(0.0)
    s.memory_mb[:60] = [50.0] * 60
    assert wear(s, 1, 0, '').memory_growth_mb_per_h == 0.0


@pytest.mark.parametrize('count', [0, 1, 3])
def test_one_that_died_early_is_in_the_report(count: int) -> None:
    """Regression: it gave a ValueError in the place of the report."""
    s = Samples([float(t) for t in range(count)], [1.0] * count, [1] * count, [0.0] * count)
    w = wear(s, -1, -1, 'status 1')
    assert w.memory_end_mb is None and w.died == 'status 1'
    assert table({'vla_controller': w}).splitlines()[1].endswith('status 1')
    assert json.loads(json.dumps(asdict(w)))['cpu_share'] is None
    assert 'vla_controller' in idle({'vla_controller': w}, {'RUN': 20})


def test_table_shows_the_dead() -> None:
    text = table({'safety_monitor': wear(samples(0.0), 30000, 2, 'status -9'),
                  'confidence_monitor': wear(samples(0.0), -1, -1, '')})
    assert 'status -9' in text and '30000' in text
    assert text.splitlines()[2].split()[-3:] == ['-', '-', 'no']


def test_a_graph_that_lives_and_does_nothing_is_no_success() -> None:
    """Every process lives, and safety never lets the robot move, or a loop stands still."""
    well = {name: wear(samples(0.0), 6000, 0, '') for name in TICKS}
    assert idle(well, {'HOLD': 100, 'RUN': 20}) == ''
    assert 'HOLD, STOP' in idle(well, {'HOLD': 1, 'STOP': 500})
    for ticks in (0, -1):
        result = {**well, 'safety_monitor': wear(samples(0.0), ticks, 0, '')}
        assert 'safety_monitor' in idle(result, {'RUN': 20})


@pytest.mark.parametrize('seconds', ['0', '-5', 'nan'])
def test_nonsense_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--seconds', seconds]) == 2
    assert '--seconds' in capsys.readouterr().err
