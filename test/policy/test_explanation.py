"""Maps over the image lie where the words say."""

from __future__ import annotations

from pathlib import Path

import cv2
import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.interfaces import IMAGE_SIZE
from vla_humanoid_control.policy.explanation import Explanation, explain
from vla_humanoid_control.policy.native import CheckpointPolicy
from vla_humanoid_control.policy.registry import load_policy
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.tasks.task import Task

ROBOT = load_robot('humanoid')
TASK = Task.from_key('go_to:red:box')


@pytest.fixture(scope='module')
def policy() -> CheckpointPolicy:
    found = load_policy('default', ROBOT).policy
    assert isinstance(found, CheckpointPolicy)
    return found


def views(count: int) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    """Images in which a red box can be seen, and which pixels of the policy's view are its."""
    world, found, seed = World(ROBOT), [], 500
    width, height = IMAGE_SIZE
    renderer = mujoco.Renderer(world.model, height, width)
    renderer.enable_segmentation_rendering()
    try:
        while len(found) < count:
            seed += 1
            world.reset(seed, TASK)
            index = world.find('red', 'box')
            image = world.render('head', 2 * width, 2 * height)
            # Which pixels change when the box is taken away.
            renderer.update_scene(world.data, 'head')
            before = renderer.render()[..., 0].copy()
            owners = owners_of(world, index)
            mask = np.isin(before, owners)
            if mask.sum() >= 25:
                found.append((image, mask))
    finally:
        renderer.close()
        world.close()
    return found


def owners_of(world: World, index: int) -> list[int]:
    """Geoms within reach of the object's centre, which are the object's own."""
    position = world.object_poses()[index][:3]
    away = np.linalg.norm(world.data.geom_xpos - position, axis=1)
    return [int(g) for g in np.flatnonzero(away < 0.05)]


def shares(explanation: Explanation, map_: NDArray[np.float32], mask: NDArray[np.bool_]
           ) -> tuple[float, float]:
    """Of the map on some pixels, and of the pixels in the image; both by cells of the map."""
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return float(map_[grown].sum()), float(grown.mean())


@pytest.mark.timeout(600)  # some seven hundred gradients, on however slow a machine
def test_more_than_chance_of_the_map_lies_on_the_red_box(policy: CheckpointPolicy) -> None:
    on, attended, chance = [], [], []
    for image, mask in views(12):
        explanation = explain(policy, image, 'go to the red box', ROBOT.home)
        for map_ in (explanation.whole, *explanation.each):
            assert map_.shape == (96, 128) and map_.sum() == pytest.approx(1, abs=1e-3)
        share, area = shares(explanation, explanation.whole, mask)
        on.append(share)
        chance.append(area)
        assert [*explanation.attention] == ['query']  # others attend to words and body, too
        query = explanation.attention['query']
        assert query.shape == (96, 128) and query.sum() == pytest.approx(1, abs=1e-3)
        attended.append(shares(explanation, query, mask)[0])
    print(f'{np.mean(on):.3f} of the map on the box, {np.mean(attended):.3f} of the attention, '
          f'{np.mean(chance):.3f} of the image')
    assert np.mean(on) > 2 * np.mean(chance)
    assert np.mean(attended) > 5 * np.mean(chance)


def test_the_command_writes_a_picture_and_refuses_what_it_cannot_explain(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / 'view.png'
    cv2.imwrite(str(image), np.full((96, 128, 3), 90, np.uint8))
    out = tmp_path / 'pictures' / 'map.png'
    assert vla(['explain', '--image', str(image), '--instruction', 'turn left',
                '--out', str(out)]) == 0
    assert cv2.imread(str(out)).shape[1] > 800
    assert vla(['explain', '--image', str(tmp_path / 'none.png'), '--instruction', 'stop']) == 2
    assert vla(['explain', '--image', str(image), '--instruction', 'stop',
                '--policy', 'scripted']) == 2
    assert 'no model of this package' in ' '.join(capsys.readouterr().err.split())
