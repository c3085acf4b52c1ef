"""How a robot on legs walks: following, stopping, standing, random arms, pushes, head images.

    python -m benchmarks.walking
    python -m benchmarks.walking --robot unitree_g1 --json out/walking.json

Everything happens on open floor, in process, with nothing but the body and its walking policy. The
numbers of docs/walking.md come from here.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.robot.spec import RobotSpec
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.types import BASE_CHANNELS

Measured = TypeVar('Measured')
TICK_S = 0.02
OPEN_FLOOR = np.array([-25.0, 0.0, 0.0])
STANDS_MPS = 0.05
EPISODES, EPISODE_S = 25, 22.0
PUSHES_MPS = (0.5, 1.0, 1.5)
PUSH_S = 0.1

Array = NDArray[np.float64]


def begin(world: World, seed: int = 0) -> None:
    """Stand on open floor, at rest."""
    world.reset(seed)
    world.place_base(OPEN_FLOOR)


def drive(world: World, twist: Array, seconds: float) -> tuple[Array, float]:
    """How far the base came in its own frame, [3], and how far it leaned at most [rad]."""
    way, tilt = np.zeros(3), 0.0
    for _ in range(round(seconds / TICK_S)):
        before = world.base_pose()
        world.apply(twist, {})
        world.advance(TICK_S)
        dx, dy, turned = world.base_pose() - before
        cos, sin = np.cos(before[2]), np.sin(before[2])
        way += (dx * cos + dy * sin, dy * cos - dx * sin, turned)
        tilt = max(tilt, world.tilt_rad)
    return way, tilt


def directions(robot: RobotSpec) -> list[Array]:
    """Full and half speed, both ways, on each axis."""
    top = robot.top_twist
    return [np.eye(3)[axis] * sign * share * top[axis]
            for axis in range(3) for sign in (1, -1) for share in (1.0, 0.5)]


def following(world: World) -> list[dict[str, Any]]:
    """Share of each command that the base follows, over 10 s after 2 s; and how it stops then."""
    rows = []
    for twist in directions(world.robot):
        begin(world)
        drive(world, np.zeros(3), 0.5)
        first, _ = drive(world, twist, 2.0)
        way, tilt = drive(world, twist, 10.0)
        axis = int(np.argmax(np.abs(twist)))
        rows.append({'command': twist.tolist(), 'followed': way[axis] / 10.0 / twist[axis],
                     'first_2_s': first[axis] / 2.0 / twist[axis],
                     'beside': float(np.linalg.norm(np.delete(way, [axis, 2]))) / 10.0,
                     'turned_radps': 0.0 if axis == 2 else way[2] / 10.0, 'tilt_rad': tilt,
                     **stopping(world)})
    return rows


def stopping(world: World) -> dict[str, float]:
    """Way and time from here to rest."""
    poses = [world.base_pose()]
    for _ in range(round(4.0 / TICK_S)):
        world.apply(np.zeros(3), {})
        world.advance(TICK_S)
        poses.append(world.base_pose())
    way_m, after_s = rest(np.array(poses))
    return {'stop_m': way_m, 'stop_s': after_s}


def rest(track: Array) -> tuple[float, float]:
    """Way [m], and time until its mean speed over 0.5 s stays that of a base that stands [s].

    Args:
        track: float64 [T, 3], the base's pose at the start and after each tick.
    """
    span = round(0.5 / TICK_S)
    speed = np.linalg.norm(track[span + 1:, :2] - track[1:-span, :2], axis=1) / 0.5
    moving = np.flatnonzero(speed > STANDS_MPS)
    return (float(np.linalg.norm(track[-1, :2] - track[0, :2])),
            0.0 if not len(moving) else float((moving[-1] + 1) * TICK_S))


def drift(world: World) -> dict[str, float]:
    """How far the base comes in 20 s in which it is to stand, after it has walked."""
    begin(world)
    drive(world, np.array([world.robot.base[BASE_CHANNELS[0]].velocity, 0, 0]), 4.0)
    drive(world, np.zeros(3), 2.0)
    start = world.base_pose()
    drive(world, np.zeros(3), 20.0)
    moved = world.base_pose() - start
    return {'drift_m': float(np.hypot(*moved[:2])), 'turned_rad': float(abs(moved[2]))}


def random_arms(world: World, episode: int) -> tuple[bool, float]:
    """Whether it falls under random commands and arms, within their limits; most tilt [rad]."""
    rng, robot = np.random.default_rng([episode, 7]), world.robot
    top = robot.top_twist
    arms = {j.name: j.home for j in robot.controlled}
    goal, twist, tilt = dict(arms), np.zeros(3), 0.0
    begin(world, episode)
    for tick in range(round(EPISODE_S / TICK_S)):
        if tick % 100 == 0:
            twist = rng.uniform(-top, top) * (rng.random() < 0.8)
        if tick % 75 == 0:
            goal = {j.name: float(rng.uniform(j.lower, j.upper)) for j in robot.controlled}
        for joint in robot.controlled:
            reach = joint.motion.velocity * TICK_S
            arms[joint.name] += float(np.clip(goal[joint.name] - arms[joint.name], -reach, reach))
        world.apply(twist, arms)
        world.advance(TICK_S)
        tilt = max(tilt, world.tilt_rad)
        if world.fallen:
            break
    return world.fallen, tilt


def push(world: World, speed_mps: float, angle_rad: float, walks: bool) -> bool:
    """Whether it is on its feet 5 s after a push of its base that gives it a speed [m/s]."""
    twist = np.array([0.3, 0, 0]) * walks
    begin(world)
    drive(world, twist, 2.0)
    trunk = world.model.body(world.robot.simulation.trunk).id if world.robot.simulation else 0
    base = int(world.model.body_rootid[trunk])
    force = float(world.model.body_subtreemass[base]) * speed_mps / PUSH_S
    world.data.xfrc_applied[base, :2] = force * np.cos(angle_rad), force * np.sin(angle_rad)
    drive(world, twist, PUSH_S)
    world.data.xfrc_applied[base] = 0
    drive(world, twist, 5.0)
    return not world.fallen


def image_ms(world: World, width: int, height: int, count: int = 60) -> dict[str, float]:
    """Processor time and median time of a head image [ms]."""
    world.render('head', width, height)
    began_s, walls = time.process_time(), []
    for _ in range(count):
        start_s = time.perf_counter()
        world.render('head', width, height)
        walls.append(time.perf_counter() - start_s)
    return {'processor': (time.process_time() - began_s) / count * 1e3,
            'median': float(np.median(walls)) * 1e3, 'least': min(walls) * 1e3}


def measure(world: World) -> dict[str, Any]:
    """All of it, with a table for people on the way."""
    report: dict[str, Any] = {'robot': world.robot.name, 'following': following(world)}
    print('| command (m/s, m/s, rad/s) | followed | in the first 2 s | beside (m/s) | leans (rad) '
          '| stops in (m) | and (s) |\n|---|---|---|---|---|---|---|')
    for row in report['following']:
        command = ', '.join(f'{v + 0.0:g}' for v in row['command'])
        print(f'| {command} | {row["followed"]:.0%} | {row["first_2_s"]:.0%} '
              f'| {row["beside"]:.3f} | {row["tilt_rad"]:.2f} | {row["stop_m"]:.2f} '
              f'| {row["stop_s"]:.2f} |', flush=True)
    report['standing'] = drift(world)
    print(f'standing for 20 s: {report["standing"]["drift_m"] * 100:.1f} cm, '
          f'{report["standing"]["turned_rad"]:.3f} rad', flush=True)
    falls = [random_arms(world, episode) for episode in range(EPISODES)]
    report['random_arms'] = {'episodes': EPISODES, 'falls': sum(f for f, _ in falls),
                             'tilt_rad': max(t for _, t in falls)}
    print(f'random arms and commands: {report["random_arms"]["falls"]} falls in {EPISODES} '
          f'episodes of {EPISODE_S:g} s, leans by {report["random_arms"]["tilt_rad"]:.2f} rad',
          flush=True)
    pushes = [{'speed_mps': speed, 'angle_deg': 90 * quarter, 'walks': walks,
               'survived': push(world, speed, quarter * np.pi / 2, walks)}
              for walks in (False, True) for speed in PUSHES_MPS for quarter in range(4)]
    report['pushes'] = pushes
    for walks in (False, True):
        those = [p for p in pushes if p['walks'] == walks]
        fell = [f'{p["speed_mps"]} m/s at {p["angle_deg"]} deg' for p in those
                if not p['survived']]
        print(f'pushes while it {"walks" if walks else "stands"}: {len(those) - len(fell)} of '
              f'{len(those)} survived; fell: {", ".join(fell) or "none"}', flush=True)
    report['image_ms'] = {f'{w}x{h}': image_ms(world, w, h) for w, h in ((128, 96), (640, 480))}
    for size, ms in report['image_ms'].items():
        print(f'head image {size}: {ms["processor"]:.1f} ms of processor time, median '
              f'{ms["median"]:.1f} ms, least {ms["least"]:.1f} ms', flush=True)
    return report


def in_world_of(robot: str, measure: Callable[[World], Measured]) -> Measured:
    """What is measured in a world of a robot, the name or path of its file."""
    with closing(World(load_robot(robot))) as world:
        return measure(world)


def save(numbers: Any, path: Path | None) -> None:
    """Write numbers as JSON, where a path is given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(numbers, indent=1), encoding='utf-8')


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('--robot', default='unitree_g1', help='name or path of the robot file')
    parser.add_argument('--json', type=Path, help='where to write the numbers')
    arguments = parser.parse_args()
    save(in_world_of(arguments.robot, measure), arguments.json)


if __name__ == '__main__':
    main()
