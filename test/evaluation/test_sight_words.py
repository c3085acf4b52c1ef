"""What the suites' sentences mean is what they are judged by, where every object is found."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from numpy.typing import NDArray

from vla_humanoid_control.control.attention import Attention, Verdict
from vla_humanoid_control.evaluation.suite import AMBIGUOUS, CLEAR, RELATIONS, Episode, load_suite
from vla_humanoid_control.evaluation.true_finder import TrueFinder
from vla_humanoid_control.language.reader import read
from vla_humanoid_control.robot.reader import load_robot
from vla_humanoid_control.simulation.twins import locate_from, meant
from vla_humanoid_control.simulation.world import World
from vla_humanoid_control.support.resources import config_path

ROBOT = load_robot('humanoid')
DOWN_RAD = 0.8
"""Where the neck of a robot is that looks down at a table [rad]."""
PICTURE = np.zeros((4, 4, 3), np.uint8)


class Onlooker:
    """Looks, in the scene of an episode, as a controller does when a step begins."""

    def __init__(self) -> None:
        self.world = World(ROBOT)
        self.finder = TrueFinder(self.world)

    def verdict(self, episode: Episode) -> tuple[Verdict | None, Attention]:
        """What comes of looking; None where the sentence is not understood as one step."""
        self.world.reset(episode.seed, episode.task)
        if episode.task.family == 'reach':
            self.world.place_joints({'neck_pitch': DOWN_RAD})
        attention = Attention(self.finder, 'head', ROBOT.joint_names)
        reading = read(episode.instruction, (), sees=True)
        if reading.problem or reading.unplaced or len(reading.steps) != 1:
            return None, attention
        attention.begin(reading.steps[0])
        place: NDArray[np.float64] = np.zeros(3)
        seen = self.finder.find(PICTURE, {})
        for _ in range(40):
            if (look := attention.look(place)) is None:
                break  # it is not understood for certain
            if (found := attention.take(look, seen)) is not None:
                return found, attention
        return None, attention

    def is_right(self, episode: Episode) -> bool:
        """Whether the object that is found is the one that the episode is judged by."""
        found, attention = self.verdict(episode)
        if found is None or found.step is None \
                or found.step.key != f'{episode.task.family}:{":".join(episode.task.arguments)}':
            return False
        if not episode.task.twins:
            return True
        look = attention.look(np.zeros(3))
        assert look is not None and look.twins
        world = self.world
        index = meant(world.objects, world.layout.base_pose, episode.task)[0]
        ahead, left = locate_from(world.base_pose(), world.object_poses()[index])
        one = look.twins[0]
        return math.dist((ahead, left), (one.distance_m * math.cos(one.bearing_rad),
                                         one.distance_m * math.sin(one.bearing_rad))) < 0.1


@pytest.fixture(scope='module')
def onlooker() -> Iterator[Onlooker]:
    looks = Onlooker()
    with closing(looks.world), closing(looks.finder):
        yield looks


def test_nine_in_ten_relations_mean_the_object_that_is_judged(onlooker: Onlooker) -> None:
    episodes = load_suite(config_path('suites', 'relations.yaml'))
    wrong = [f'{e.id}: {e.instruction}' for e in episodes if not onlooker.is_right(e)]
    print(f'{len(episodes) - len(wrong)} of {len(episodes)}', *wrong, sep='\n')
    assert episodes[0].counted_as == RELATIONS
    assert len(wrong) <= 0.1 * len(episodes), wrong


@pytest.mark.parametrize('family', [AMBIGUOUS, CLEAR])
def test_it_asks_where_it_is_open_and_nowhere_else(onlooker: Onlooker, family: str) -> None:
    episodes = [e for e in load_suite(config_path('suites', 'ambiguous.yaml'))
                if e.counted_as == family]
    wrong = []
    for e in episodes:
        found, _ = onlooker.verdict(e)
        asks = found is not None and found.question is not None
        answered = not asks or e.answer is None or (
            found is not None and found.question is not None
            and found.question.answer(e.answer) is not None)
        if asks is not (family == AMBIGUOUS) or not answered:
            wrong.append(f'{e.id}: {e.instruction} / {e.answer}')
    print(f'{family}: {len(episodes) - len(wrong)} of {len(episodes)}', *wrong, sep='\n')
    assert len(wrong) <= (0.05 if family == AMBIGUOUS else 0.02) * len(episodes), wrong
