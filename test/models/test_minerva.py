"""What makes Minerva itself."""

from __future__ import annotations

import torch

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.fusion.mixer import Mixer
from vla_humanoid_control.models.parts.heads.regression import ActionHead
from vla_humanoid_control.models.parts.vision.keypoints import Keypoints
from vla_humanoid_control.models.parts.vision.separable_conv import SeparableConv
from vla_humanoid_control.models.streams import Frames, Shape, Space, Targets, Tokens

SPACE = Space({'head': (64, 48)}, 0, 2, 16, 2)


def test_it_has_half_a_million_parameters_and_more_eyes_than_head() -> None:
    counts = load_model_config('minerva').parameters
    assert round(counts['total'] / 1e6, 2) == 0.54
    assert counts['eyes'] > counts['chunk']


def test_a_keypoint_is_where_its_feature_is() -> None:
    points = Keypoints(SPACE, [Shape(3, 2 * 12, (3, 4), 2)], points=3)
    points.scores.weight.data, points.scores.bias.data = 50 * torch.eye(3), torch.zeros(3)
    cells = torch.zeros(1, 2, 3, 4, 3)  # [B, T, rows, columns, D]
    cells[0, 1, 0, 3, 1] = 1  # top right, in the newer frame
    with torch.no_grad():
        where = points(Tokens(cells.flatten(1, 3))).values.reshape(2, 3, 2)
    torch.testing.assert_close(where[1, 1], torch.tensor([0.75, -2 / 3]))
    torch.testing.assert_close(where[0], torch.zeros(3, 2))  # nowhere is the middle


def test_rows_start_without_the_situation_and_learn_it() -> None:
    torch.manual_seed(0)
    mixer = Mixer(SPACE, [Shape(6, 2), Shape(4, None)], width=8, layers=2, condition=5)
    one, other = ([Tokens(torch.randn(3, 2, 6)), Tokens(torch.randn(3, 7, 4))] for _ in range(2))
    assert mixer.gives['tokens'] == Shape(8, 16)
    assert torch.equal(mixer(*one).tokens.values, mixer(*other).tokens.values)
    for block in mixer.blocks:
        block.modulation.weight.data.normal_()
    assert not torch.allclose(mixer(*one).tokens.values, mixer(*other).tokens.values)


def test_the_instruction_changes_what_the_eyes_see() -> None:
    torch.manual_seed(0)
    eyes = SeparableConv(SPACE, [None, Shape(5)], widths=[8, 16], blocks=[1, 2], strides=[1, 2])
    image = Frames(torch.rand(2, 2, 3, 48, 64), torch.tensor([0, 0, 1]))
    said = torch.randn(3, 1, 5)
    seen = eyes(image, Tokens(said)).values
    assert eyes.gives == Shape(16, 2 * 192, (12, 16), 2) and seen.shape == (3, 384, 16)
    torch.testing.assert_close(seen[0], seen[1])  # FiLM starts as the identity
    eyes.films[1].modulation.weight.data.normal_()
    assert not torch.allclose(*eyes(image, Tokens(said)).values[:2])


def test_the_loss_is_l1() -> None:
    head = ActionHead(SPACE, [Shape(8, 16)], hidden=4, loss='l1')
    actions = torch.zeros(3, 16, 2)
    made = torch.tensor([1.0, 3.0]).expand(3, 16, 2)
    torch.testing.assert_close(head.loss(made, Targets(actions)), torch.full((3,), 2.0))
    weighted = Targets(actions, channel_weight=torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(head.loss(made, weighted), torch.ones(3))
