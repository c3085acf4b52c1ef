"""A checkpoint as a policy: what the words alone decide is made once for each instruction."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from vla_humanoid_control.interfaces import ActionChunk, Observation, Prompt
from vla_humanoid_control.policy.native import CheckpointPolicy, blank_observation
from vla_humanoid_control.support.resources import resource_path


@pytest.fixture(scope='module')
def policy() -> CheckpointPolicy:
    return CheckpointPolicy.load(resource_path('checkpoints', 'default'))


def observation(policy: CheckpointPolicy, seed: int) -> Observation:
    noise, blank = np.random.default_rng(seed), blank_observation(policy.spec)
    return Observation(seed, {role: noise.integers(0, 256, image.shape, np.uint8)
                              for role, image in blank.images.items()},
                       {name: noise.normal(size=state.shape)
                        for name, state in blank.state.items()})


def answer(policy: CheckpointPolicy, text: str, *seeds: int) -> ActionChunk:
    """To the last of some observations."""
    policy.reset(Prompt(text))
    return [policy.infer(observation(policy, seed)) for seed in seeds][-1]


def same(one: ActionChunk, other: ActionChunk) -> bool:
    assert one.evidence.keys() == other.evidence.keys()
    return np.array_equal(one.actions, other.actions) and one.progress == other.progress \
        and all(np.array_equal(one.evidence[name], other.evidence[name]) for name in one.evidence)


def test_later_answers_are_those_of_the_whole_model_bit_for_bit(policy: CheckpointPolicy) -> None:
    alone = answer(policy, 'go to the red box', 2)
    assert same(answer(policy, 'go to the red box', 0, 1, 2), alone)
    assert not same(answer(policy, 'wave', 0, 2), alone)
    assert same(answer(policy.fork(), 'go to the red box', 0, 2), alone)


def test_parts_that_only_see_the_words_run_once_for_each_instruction(policy: CheckpointPolicy
                                                                     ) -> None:
    ran: Counter[str] = Counter()
    hooks = [part.register_forward_hook(lambda *_, name=name: ran.update([name]))
             for name, part in policy.model.named_children()]
    answer(policy, 'walk forward', 0, 1, 2)
    answer(policy, 'turn left', 0, 1)
    for hook in hooks:
        hook.remove()
    once = {name for name, times in ran.items() if times == 2}
    assert once == {'language', 'instruction_head', 'scope', 'scope_head', 'instruction_novelty'}
    assert {times for name, times in ran.items() if name not in once} == {5}
    assert {'vision', 'fusion', 'action_head', 'confidence_head'} <= set(ran) - once


def test_forks_that_answer_together_do_not_share_their_words(policy: CheckpointPolicy) -> None:
    forks = [policy.fork() for _ in range(2)]
    texts = ('go to the red box', 'walk forward')
    for fork, text in zip(forks, texts):
        answer(fork, text, 0)
    together = CheckpointPolicy.infer_many(forks, [observation(policy, 1)] * 2)
    for chunk, text in zip(together, texts):
        np.testing.assert_allclose(chunk.actions, answer(policy, text, 1).actions, atol=1e-4)
