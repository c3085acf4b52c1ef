"""How often the expert picks things up and puts them down beside another, by shape.

    python -m benchmarks.handling
    python -m benchmarks.handling --seeds 20 --json out/handling.json

Each seed is a scene of its own with up to two other objects on the table. The expert acts ten
times a second, joints move no faster than the robot file allows, and the judge of
evaluation decides.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.walking import in_world_of, save
from vla_humanoid_control.confidence.metrics import wilson_interval
from vla_humanoid_control.interfaces import CHUNK_DT_S
from vla_humanoid_control.simulation.expert import Expert, observe
from vla_humanoid_control.simulation.judge import TaskMonitor
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.tasks.task import Task
from vla_humanoid_control.tasks.vocabulary import COLOURS, HAND_FAMILIES, SHAPES
from vla_humanoid_control.types import CONTROL_PERIOD_S

FIRST_SEED = 500


def attempt(world: World, expert: Expert, task: Task, seed: int) -> dict[str, Any]:
    """One scene: whether the expert declares itself done in time and is, and after how long."""
    world.reset(seed, task)
    monitor, tilt = TaskMonitor(task, world), 0.0
    reach = {j.name: j.motion.velocity * CONTROL_PERIOD_S for j in world.robot.controlled}
    done_s: float | None = None
    while done_s is None or world.time_s < done_s + task.settle_s:
        action = expert.act(task, observe(world, task, world.time_s, np.zeros(3)))
        if done_s is None and action.progress >= 1.0:
            done_s = world.time_s
        if done_s is None and world.time_s > task.time_limit_s:
            break
        for _ in range(round(CHUNK_DT_S / CONTROL_PERIOD_S)):
            now = world.joint_targets()
            world.apply(action.twist, {n: now[n] + float(np.clip(v - now[n], -reach[n], reach[n]))
                                       for n, v in action.joints.items()})
            world.advance(CONTROL_PERIOD_S)
            monitor.update(world)
            tilt = max(tilt, world.tilt_rad)
    return {'task': task.key, 'seed': seed, 'seconds': done_s, 'tilt_rad': tilt,
            'success': done_s is not None and monitor.success(world), 'fallen': world.fallen}


def measure(world: World, seeds: int) -> list[dict[str, Any]]:
    """So many scenes of each family and shape, with a table for people on the way."""
    expert, rows = Expert(world.robot), []
    print('| what | done | 95 % interval | median (s) |\n|---|---|---|---|')
    for family in HAND_FAMILIES:
        whole = []
        for number, shape in enumerate(SHAPES):
            own = [attempt(world, expert, _task(family, number, i), FIRST_SEED + 100 * number + i)
                   for i in range(seeds)]
            whole += own
            print(_row(f'{family} {shape}', own), flush=True)
        print(_row(f'{family} all', whole), flush=True)
        rows += whole
    print(f'falls: {sum(r["fallen"] for r in rows)}; leans by '
          f'{max(r["tilt_rad"] for r in rows):.2f} rad at most')
    return rows


def _task(family: str, number: int, scene: int) -> Task:
    """Of a shape, with the colours in turn; the object to put it beside is of another colour."""
    thing = (COLOURS[scene % len(COLOURS)], SHAPES[number])
    other = (COLOURS[(scene + 1) % len(COLOURS)], SHAPES[(number + 1 + scene) % len(SHAPES)])
    return Task(family, thing if family == 'pick' else (*thing, *other))


def _row(name: str, rows: list[dict[str, Any]]) -> str:
    won = sum(r['success'] for r in rows)
    low, high = wilson_interval(won, len(rows))
    taken = [r['seconds'] for r in rows if r['success']]
    return (f'| {name} | {won} of {len(rows)} | {low:.0%} to {high:.0%} '
            f'| {np.median(taken) if taken else float("nan"):.1f} |')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--robot', default='unitree_g1_hands', help='name or path of the file')
    parser.add_argument('--seeds', type=int, default=10, help='scenes of each family and shape')
    parser.add_argument('--json', type=Path, help='where to write the numbers')
    arguments = parser.parse_args()
    save(in_world_of(arguments.robot, lambda world: measure(world, arguments.seeds)),
         arguments.json)


if __name__ == '__main__':
    main()
