"""Broken cameras show what their name says, from the moment at which they break."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import vla_humanoid_control
from vla_humanoid_control.evaluation.camera_faults import (
    EARLIEST_S,
    KINDS,
    KNOWN,
    LATEST_S,
    UNKNOWN,
    BrokenCamera,
    Image,
)

SEEDS = range(6)


def scene(shade: int) -> Image:
    image = np.full((48, 64, 3), 90, np.uint8)
    image[20:] = 140
    image[10:30, 5 + shade:25 + shade] = (200, 30, 30)
    return image


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cameras(kind: str) -> Iterator[list[BrokenCamera]]:
    made = [BrokenCamera(kind, seed) for seed in SEEDS]
    yield made
    for camera in made:
        camera.close()


def test_it_is_whole_until_it_breaks(cameras: list[BrokenCamera]) -> None:
    moments = [camera.begins_s for camera in cameras]
    assert min(moments) >= EARLIEST_S
    assert max(moments) <= LATEST_S
    assert len(set(moments)) == len(moments)
    for camera in cameras:
        np.testing.assert_array_equal(camera.view(scene(0), camera.begins_s - 0.01), scene(0))


def test_broken_it_shows_an_image_of_the_same_form_that_is_not_the_scene(
        cameras: list[BrokenCamera]) -> None:
    for camera in cameras:
        camera.view(scene(0), 0.0)
        for number in range(3):
            seen = camera.view(scene(30), camera.begins_s + 0.1 * number)
            assert seen.shape == (48, 64, 3)
            assert seen.dtype == np.uint8
            assert (seen != scene(30)).any()


def test_the_same_seed_breaks_alike(kind: str) -> None:
    first, again = BrokenCamera(kind, 5), BrokenCamera(kind, 5)
    assert first.begins_s == again.begins_s
    for camera in (first, again):
        camera.view(scene(0), 0.0)
    np.testing.assert_array_equal(first.view(scene(1), 2.0), again.view(scene(1), 2.0))
    first.close()
    again.close()


def broken(kind: str, seed: int, times_s: tuple[float, ...]) -> list[Image]:
    camera = BrokenCamera(kind, seed)
    camera.view(scene(0), 0.0)
    images = [camera.view(scene(3 + n), camera.begins_s + t) for n, t in enumerate(times_s)]
    camera.close()
    return images


def test_black_is_black() -> None:
    assert not broken('black', 1, (0.0,))[0].any()


def test_frozen_repeats_the_last_image_to_the_last_bit() -> None:
    for image in broken('frozen', 1, (0.0, 0.5, 2.0)):
        np.testing.assert_array_equal(image, scene(0))


def test_noise_is_new_every_time_and_has_nothing_of_the_scene() -> None:
    first, second = broken('noise', 1, (0.0, 0.1))
    assert (first == second).mean() < 0.02
    assert abs(np.corrcoef(first.ravel(), scene(3).ravel())[0, 1]) < 0.05


@pytest.mark.parametrize('seed', SEEDS)
def test_the_other_scene_is_walked_through(seed: int) -> None:
    first, soon, later = broken('other_scene', seed, (0.0, 0.1, 1.5))
    assert first.std() > 10
    assert 0 < np.abs(first.astype(float) - soon).mean() < np.abs(first.astype(float)
                                                                 - later).mean()


@pytest.mark.parametrize('seed', SEEDS)
def test_a_near_object_covers_three_quarters_or_more(seed: int) -> None:
    [image] = broken('occluded', seed, (0.3,))
    changed = (np.abs(image.astype(int) - scene(3)) > 6).any(axis=2).mean()
    assert changed >= 0.73


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('kind', ['dark', 'glare', 'packet_loss', 'cloth', 'no_signal'])
def test_hardly_anything_of_the_scene_is_left(kind: str, seed: int) -> None:
    camera, other = BrokenCamera(kind, seed), BrokenCamera(kind, seed)
    camera.view(scene(0), 0.0)
    changed = np.zeros(())
    for number in range(5):  # the same fault, over another scene
        time_s = camera.begins_s + 0.1 * number
        shown = camera.view(scene(0), time_s).astype(int)
        elsewhere = other.view(255 - scene(0), time_s).astype(int)
        changed = (np.abs(shown - elsewhere) > 40).any(axis=2).mean()
    assert changed < 0.35
    assert shown.std() > 1.5  # and it is no plain image


@pytest.mark.parametrize('kind', ['dark', 'glare', 'packet_loss', 'cloth', 'no_signal'])
def test_a_camera_that_still_runs_never_repeats_itself(kind: str) -> None:
    """What is held is held by what the image shows, not by the check for frozen frames."""
    images = broken(kind, 2, (0.0, 0.1, 0.2, 0.3))
    for before, after in pairwise(images):
        assert (before != after).any()


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f'{node.module}.{alias.name}' for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_what_is_measured_with_shares_no_code_with_what_is_learnt_from() -> None:
    """Regression: two faults were tested with the very images that training shows."""
    assert set(KNOWN) | set(UNKNOWN) == set(KINDS)
    assert not set(KNOWN) & set(UNKNOWN)
    package = Path(str(vla_humanoid_control.__file__)).parent
    reached: set[str] = set()
    todo = {'vla_humanoid_control.evaluation.camera_faults'}
    while todo:
        name = todo.pop()
        reached.add(name)
        path = package.parent.joinpath(*name.split('.')).with_suffix('.py')
        if path.is_file():
            todo |= {n for n in imports_of(path) if n.startswith('vla_humanoid_control')} - reached
    assert 'vla_humanoid_control.simulation.other_world' in reached
    assert not {n for n in reached if n.startswith('vla_humanoid_control.learning')}
    for path in (Path(__file__).resolve().parents[1] / 'faults').glob('*.py'):
        assert not any('learning.corruptions' in n for n in imports_of(path)), path.name
