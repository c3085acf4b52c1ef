"""Transforms, augmentation and corruptions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from vla_humanoid_control.learning.augment import AugmentConfig, augment_images
from vla_humanoid_control.learning.corruptions import CORRUPTIONS
from vla_humanoid_control.models.streams import TIME_FEATURES
from vla_humanoid_control.models.transforms import (
    Statistics,
    normalise_actions,
    normalise_images,
    normalise_joints,
    normalise_time,
    restore_actions,
)

STATISTICS = Statistics(np.zeros(2, np.float32), np.full(2, 0.5, np.float32),
                        np.array([1, 2, 3], np.float32), np.array([1, 0.5, 2], np.float32))
STILL = AugmentConfig(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_actions_come_back_from_normalisation() -> None:
    actions = torch.randn(2, 8, 3)
    torch.testing.assert_close(
        restore_actions(normalise_actions(actions, STATISTICS), STATISTICS), actions)


def test_percentiles_are_the_ends_of_the_scale() -> None:
    between = replace(STATISTICS, scale='percentiles')
    ends = torch.stack([restore_actions(torch.full((3,), end), between) for end in (-1.0, 1.0)])
    assert ends.tolist() == [[0.0, 1.5, 1.0], [2.0, 2.5, 5.0]]
    inside = (ends[0] + 0.3 * (ends[1] - ends[0]))[None, None]
    made = normalise_actions(inside, between)
    torch.testing.assert_close(made, torch.full((1, 1, 3), -0.4))
    torch.testing.assert_close(restore_actions(made, between), inside)
    assert (normalise_actions(ends[1] + 7, between) == 1).all()
    assert (normalise_actions(ends[1] + 7, STATISTICS) > 1).all()


def test_wild_joint_readings_are_clipped() -> None:
    assert normalise_joints(torch.tensor([[100.0, -100.0]]), STATISTICS).tolist() == [[5, -5]]


def test_time_features_are_bounded_and_can_be_withheld() -> None:
    features = normalise_time(torch.tensor([1e6, 3.0]), torch.full((2, 3), 1e4))
    assert features.shape == (2, TIME_FEATURES) and features.abs().max() <= 4
    assert not normalise_time(torch.ones(1), torch.ones(1, 3), torch.zeros(1)).any()


def frames(count: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, 96, 128, generator=generator) * 2 - 1


def test_no_strength_changes_nothing() -> None:
    images = frames()
    result, moved = augment_images(images.clone(), STILL, torch.Generator().manual_seed(1))
    torch.testing.assert_close(result, images, atol=1e-5, rtol=0)
    assert not moved.any()


def test_a_shift_is_reported_in_image_coordinates() -> None:
    images = torch.full((8, 3, 96, 128), -1.0)
    images[:, :, 48, 64] = 1.0
    config = replace(STILL, shift_px=3)
    result, moved = augment_images(images, config, torch.Generator().manual_seed(2))
    assert moved.abs().max() > 0
    for image, (u, v) in zip(result, moved.tolist(), strict=True):
        row, column = np.unravel_index(int(image[0].argmax()), (96, 128))
        assert row - 48 == pytest.approx(v * 48, abs=1e-3)
        assert column - 64 == pytest.approx(u * 64, abs=1e-3)


def test_colours_stay_apart_under_full_augmentation() -> None:
    colours = np.array([(200, 30, 30), (30, 180, 30), (40, 40, 220), (220, 210, 30)], np.uint8)
    image = np.full((4, 96, 128, 3), 110, np.uint8)
    image[:, 30:60, 40:80] = colours[:, None, None]
    for seed in range(40):
        batch = normalise_images(torch.from_numpy(image))
        result, _ = augment_images(batch, AugmentConfig(), torch.Generator().manual_seed(seed))
        middle = result[:, :, 40:50, 55:65].mean((2, 3))
        red, green, blue, yellow = middle
        assert red.argmax() == 0 and green.argmax() == 1 and blue.argmax() == 2
        assert yellow.argmin() == 2 and (yellow[:2] - yellow[2]).min() > 0.1


@pytest.mark.parametrize('name', CORRUPTIONS)
def test_corruptions_leave_little_of_the_image(name: str) -> None:
    rng = np.random.default_rng(0)
    image = np.full((96, 128, 3), 110, np.uint8)
    image[30:50, 40:60] = (200, 30, 30)
    image[60:80, 90:110] = (30, 180, 30)
    before = image.copy()
    for _ in range(5):
        result = CORRUPTIONS[name](image, rng)
        assert result.shape == image.shape and result.dtype == np.uint8
        assert np.abs(result.astype(int) - image).mean() > 3
    np.testing.assert_array_equal(image, before)
