"""VIMA: the order of the prompt, objects and their boxes, bins of each channel."""

from __future__ import annotations

import pytest
import torch

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.fusion.cross_gpt import CrossGpt
from vla_humanoid_control.models.parts.heads.discrete import DiscreteHead
from vla_humanoid_control.models.parts.language.multimodal import MultimodalPrompt, prompt_order
from vla_humanoid_control.models.parts.vision.objects import ObjectTokens, grid_boxes, tiles
from vla_humanoid_control.models.streams import Frames, Shape, Space, Targets, Tokens

SPACE = Space({'front': (128, 96), 'top': (128, 96)}, 31, 4, 2, frames=2)


def test_words_and_objects_stand_in_the_order_of_the_prompt() -> None:
    """Row 0: words 0, scene, word 1. Row 1: scene, words 0, scene. Three objects a row."""
    words, scene_0, scene_1 = 4, [12, 13, 14], [15, 16, 17]  # three pieces of four places
    order, mask = prompt_order([[0, 1], [2, 0, 2]], [2, 1, 0], words, 3)
    assert order[0, mask[0]].tolist() == [0, 1, *scene_0, 4]
    assert order[1, mask[1]].tolist() == [*scene_1, 0, 1, *scene_1]
    assert mask.sum(1).tolist() == [6, 8] and order.shape == (2, 8)


def prompt(template: str) -> MultimodalPrompt:
    torch.manual_seed(0)
    return MultimodalPrompt(SPACE, [None, Shape(8, 6, frames=2)], width=16, layers=1, heads=2,
                            feed=32, vocabulary=30522, output_dim=12, object_hidden=8,
                            template=template).eval()


def test_a_prompt_has_the_objects_of_the_newest_frame_in_the_place_of_each_scene() -> None:
    part = prompt('{scene} {task} {scene}')
    objects = torch.randn(2, 6, 8)
    with torch.no_grad():
        made = part(('wave', 'go to the red box'), Tokens(objects))
        same = part(('wave', 'go to the red box'),
                    Tokens(torch.cat([torch.randn(2, 3, 8), objects[:, 3:]], dim=1)))
        other = part(('wave', 'go to the red box'),
                     Tokens(torch.cat([objects[:, :3], torch.randn(2, 3, 8)], dim=1)))
    # Words of a text with what begins and ends it, twice nothing but that, and two scenes of 3.
    assert made.exists.sum(1).tolist() == [3 + 4 + 6, 7 + 4 + 6]
    assert made.values.shape == (2, 17, 12)
    assert torch.equal(made.values, same.values) and not torch.equal(made.values, other.values)
    with pytest.raises(ValueError, match='template'):
        prompt('{task}')


def test_two_layers_of_the_language_model_are_trained() -> None:
    config = load_model_config('vima_200m')
    with torch.device('meta'):
        settings = config.parts['prompt'].settings
        part = MultimodalPrompt(SPACE, [None, Shape(768, 64, frames=2)], **settings)
    trained = {name for name, p in part.network.named_parameters() if p.requires_grad}
    assert {name.split('.')[1] for name in trained} == {'10', '11'}


def test_tiles_are_cut_row_by_row_and_boxes_say_where() -> None:
    down, right = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing='ij')
    image = torch.stack([right, down, right * 0])[None]
    cut = tiles(image, (3, 4), 32)
    assert cut.shape == (1, 12, 3, 32, 32)
    boxes = grid_boxes(3, 4)
    centres = cut[0, :, :2].mean((2, 3)) + 0.5
    assert torch.allclose(centres, boxes[:, :2] * torch.tensor([128.0, 96.0]))
    assert torch.allclose(boxes[:, 2:], torch.tensor([1 / 3, 1 / 4]).expand(12, 2))
    assert tiles(torch.zeros(1, 3, 90, 120), (3, 4), 32).shape == (1, 12, 3, 32, 32)


def test_objects_come_frame_by_frame_and_camera_by_camera() -> None:
    torch.manual_seed(0)
    part = ObjectTokens(SPACE, [None, None], width=8, eye_width=16, layers=1, heads=2,
                        box_hidden=8).eval()
    assert part.gives == Shape(8, 2 * 2 * 12, None, 2)
    front, top = (Frames(torch.randn(1, 2, 3, 96, 128), torch.zeros(1, dtype=torch.long))
                  for _ in range(2))
    with torch.no_grad():
        plain = part(front, top).values
        top.pixels[:, 1] += 1.0  # the newest image of the second camera: the last twelve
        moved = (part(front, top).values - plain).abs().amax((0, 2))
    assert (moved[:36] == 0).all() and (moved[36:] > 0).all()


def test_the_controller_is_causal_and_numbers_what_exists() -> None:
    torch.manual_seed(0)
    part = CrossGpt(SPACE, [Shape(16, None), Shape(16, 5)], layers=2, heads=2,
                    cross_heads=4).eval()
    prompt_, tokens = torch.randn(1, 4, 16), torch.randn(1, 5, 16)
    gaps = torch.tensor([[True, False, True, True, True]])
    with torch.no_grad():
        whole = part(Tokens(prompt_), Tokens(tokens, gaps)).values
        dense = part(Tokens(prompt_), Tokens(tokens[:, gaps[0]])).values
        padded = part(Tokens(torch.cat([prompt_, torch.randn(1, 2, 16)], dim=1),
                             torch.arange(6)[None] < 4), Tokens(tokens, gaps)).values
    torch.testing.assert_close(whole, dense)
    torch.testing.assert_close(whole, padded)


def test_every_channel_has_bins_of_its_own() -> None:
    head = DiscreteHead(SPACE, [Shape(8)], bins=[50, 100, 50, 2], hidden=8, low=0.0, high=1.0)
    logits = head(Tokens(torch.randn(3, 1, 8)))
    assert [part.shape for part in logits] == [(3, 2, n) for n in (50, 100, 50, 2)]
    actions = torch.tensor([[[0.0, 0.5, 0.999, 0.4], [1.0, -3.0, 7.0, 0.6]]])
    which = head.encode(actions)
    assert which.tolist() == [[[0, 50, 49, 0], [49, 0, 49, 1]]]
    near = (head.decode(which) - actions.clamp(0, 1)).abs()
    assert (near <= 0.5 / torch.tensor([50, 100, 50, 2]) + 1e-6).all()
    sure = [torch.nn.functional.one_hot(which[..., i], n) * 50.0
            for i, n in enumerate(head.bins)]
    assert head.loss(sure, Targets(actions)).item() < 1e-6
    assert torch.equal(head.predict(sure), head.decode(which))
    with pytest.raises(ValueError, match='channels'):
        DiscreteHead(SPACE, [Shape(8)], bins=[50], hidden=8)


def test_the_published_channels_are_two_poses() -> None:
    config = load_model_config('vima')
    assert config.parts['action'].settings['bins'] == [50, 100, 50, 50, 50, 50] * 2
    assert config.space.channels == 12
