"""The environment keeps Gymnasium's contract, and rewards what the task says."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from vla_humanoid_control.collection.environment import ENVIRONMENT_ID


@pytest.fixture(scope='module')
def env():
    made = gymnasium.make(ENVIRONMENT_ID, render_mode='rgb_array').unwrapped
    yield made
    made.close()


@pytest.mark.filterwarnings('error::UserWarning')
def test_check_env(env):
    check_env(env, skip_render_check=False)


def test_same_seed_same_episode(env):
    first, _ = env.reset(seed=5)
    action = env.action_space.sample()
    again_first = env.step(action)
    second, _ = env.reset(seed=5)
    again_second = env.step(action)
    assert first['instruction'] == second['instruction']
    np.testing.assert_array_equal(first['image'], second['image'])
    np.testing.assert_array_equal(again_first[0]['joints'], again_second[0]['joints'])


def test_walking_forward_is_rewarded_once_far_enough(env):
    env.reset(seed=1, options={'task': 'move:forward'})
    values = np.array([0.4, 0, 0, *(j.home for j in env.robot.controlled)])
    np.testing.assert_allclose(env.unscale(env.scale(values)), values, atol=1e-6)
    rewards = []
    for _ in range(30):
        _, reward, terminated, _, _ = env.step(env.scale(values))
        rewards.append(reward)
        if terminated:
            break
    assert sum(rewards) == 1.0
    assert len(rewards) * 0.1 * 0.4 >= 0.5
