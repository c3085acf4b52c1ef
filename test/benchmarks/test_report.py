"""Goals are stated as they came out, and the table and the JSON say the same."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.figures import Loop, Summary
from benchmarks.report import GraphFigures, LocalFigures, goals, needed, save_json, table

EVEN = Loop(1000, 100.0, 0.4, 1.0, 103.0, 0)
GRAPH = GraphFigures(Summary(1000, 30.0, 52.0, 60.0),
                     {'frame to proposal': Summary(1000, 20.0, 30.0, 40.0)}, 3000, 3000,
                     {'/vla/action_proposal': EVEN, '/cmd_vel': replace(EVEN, period_ms=20.0)},
                     {'vla_controller': 0, 'safety_monitor': 0}, 1000, 1000)
LOCAL = LocalFigures(Summary(300, 10.0, 12.0, 13.0), Summary(300, 13.0, 15.0, 16.0),
                     Summary(300, 3.0, 4.0, 5.0), Summary(5000, 0.3, 0.5, 1.0),
                     Summary(5000, 0.4, 0.9, 1.0), Summary(5000, 0.5, 0.95, 4.0), 1.0, 3000.0, 6.0,
                     90.0)
TEXTBOOK = replace(GRAPH, stages={}, loops={'/cmd_vel': EVEN}, missed_by_node={})


def test_all_met() -> None:
    reached = goals(GRAPH, LOCAL, 30.0)
    assert len(reached) == 5 and all(g.is_met for g in reached)
    assert reached[0].limit == pytest.approx(10.0 + 15.0 + 1000 / 30)


@pytest.mark.parametrize(('index', 'graph', 'local'), [
    (0, replace(GRAPH, latency=Summary(1000, 30.0, 58.4, 60.0)), LOCAL),
    (1, replace(GRAPH, loops={'/cmd_vel': replace(EVEN, missed=1)}), LOCAL),
    (1, replace(GRAPH, missed_by_node={'safety_monitor': 1}), LOCAL),
    (2, replace(GRAPH, frames_delivered=2999), LOCAL),
    (3, GRAPH, replace(LOCAL, safety_step=Summary(5000, 0.51, 0.6, 1.0))),
    (4, GRAPH, replace(LOCAL, safety_tick=Summary(5000, 0.4, 1.1, 2.0))),
    (4, GRAPH, replace(LOCAL, safety_crowded=Summary(5000, 0.4, 1.1, 2.0))),
])
def test_each_goal_can_be_missed(index: int, graph: GraphFigures, local: LocalFigures) -> None:
    reached = goals(graph, local, 30.0)
    assert [g.is_met for g in reached] == [i != index for i in range(5)]
    assert table(graph, TEXTBOOK, local, reached).count('[NOT MET]') == 1


def test_a_latency_of_few_actions_is_no_latency() -> None:
    """Regression: a robot that was held in 974 of 1,000 ticks gave a 99th percentile of 26."""
    held = replace(GRAPH, latency=None, stages={}, acted=26)
    reached = goals(held, LOCAL, 30.0)
    assert [g.is_met for g in reached] == [False, True, True, True, True]
    text = table(held, TEXTBOOK, LOCAL, reached)
    row = next(line for line in text.splitlines() if line.startswith('(a)'))
    assert 'not measured' in row and not any(c.isdigit() for c in row)
    assert "26 of 1000 ticks carried the policy's action, and 950 are needed" in text
    assert text.count('[NOT MET]') == 1


@pytest.mark.parametrize(('ticks', 'enough'), [(1000, 950), (30, 29), (1, 1)])
def test_how_many_ticks_must_carry_an_action(ticks: int, enough: int) -> None:
    assert needed(ticks) == enough


def test_table_names_everything() -> None:
    text = table(GRAPH, TEXTBOOK, LOCAL, goals(GRAPH, LOCAL, 30.0))
    for words in ('(a) camera to /cmd_vel', '(b)', '(c)', 'frame to proposal', '52.0 ms',
                  'graph 3000 of 3000', '3000 physics steps', '[met]',
                  "1000 of 1000 ticks carried the policy's action"):
        assert words in text


def test_json_says_what_the_table_says(tmp_path: Path) -> None:
    path = tmp_path / 'new' / 'bench.json'
    save_json(path, GRAPH, TEXTBOOK, LOCAL, goals(GRAPH, LOCAL, 30.0), {'cores': 2})
    data = json.loads(path.read_text(encoding='utf-8'))
    assert data['about'] == {'cores': 2}
    assert data['graph']['latency']['p99_ms'] == 52.0
    assert data['graph']['acted'] == 1000
    assert data['graph']['loops']['/cmd_vel']['missed'] == 0
    assert [g['met'] for g in data['goals']] == [True] * 5
