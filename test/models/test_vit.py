"""Vision transformers: the originals' outputs, and what each gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vla_humanoid_control.models.parts.vision.images import in_colours
from vla_humanoid_control.models.parts.vision.projector import Projector
from vla_humanoid_control.models.parts.vision.vit import (
    ClipVision,
    Dinov2,
    Dinov2Registers,
    Siglip,
    Tower,
    Vit,
)
from vla_humanoid_control.models.streams import Frames, Shape, Space, Tokens
from vla_humanoid_control.support.errors import UserError

SPACE = Space({'head': (40, 32)}, 31, 22, 1)
SMALL: dict[str, Any] = {'width': 32, 'layers': 3, 'heads': 2, 'patch': 8, 'size': 32}
TOWERS = (Vit, ClipVision, Siglip, Dinov2, Dinov2Registers)


def frames(seed: int = 0, side: int = 32) -> Frames:
    noise = torch.rand(2, 1, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return Frames(noise * 2 - 1, torch.tensor([0, 1, 1]))


def original(kind: type[Tower], side: int = 32) -> Any:
    """The network of `transformers`, all of its random weights different from zero."""
    import transformers
    sizes = {'hidden_size': 32, 'num_hidden_layers': 3, 'num_attention_heads': 2,
             'patch_size': 8, 'image_size': side}
    if not issubclass(kind, Dinov2):
        sizes['intermediate_size'] = 128
    torch.manual_seed(0)
    network = getattr(transformers, f'{kind.family}Model')(
        getattr(transformers, f'{kind.family}Config')(**sizes)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize('kind', TOWERS)
@pytest.mark.parametrize(('settings', 'which'), [({}, 'last'), ({'layer': -2}, 'second last'),
                                                 ({'pooled': True}, 'pooled')])
def test_weights_of_the_original_give_its_outputs(kind: type[Tower], settings: dict[str, Any],
                                                  which: str, tmp_path: Path) -> None:
    network = original(kind)
    network.save_pretrained(tmp_path)
    tower = kind(SPACE, [None], **SMALL, **settings, pretrained=str(tmp_path)).eval()
    image = frames()
    pixels = in_colours(image.pixels[:, 0], kind.colours)
    with torch.no_grad():
        made = network(pixels, output_hidden_states=True)
        wanted = {'last': made.last_hidden_state[:, kind.prefix:],
                  'second last': made.hidden_states[-2][:, kind.prefix:],
                  'pooled': made.last_hidden_state[:, :1] if kind is Vit
                  else made.pooler_output[:, None]}[which]
        torch.testing.assert_close(tower(image).values, wanted[image.frame], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('kind', TOWERS)
def test_positions_of_larger_images_are_resampled(kind: type[Tower], tmp_path: Path) -> None:
    network = original(kind, side=48)
    network.save_pretrained(tmp_path)
    tower = kind(SPACE, [None], **SMALL, pretrained=str(tmp_path)).eval()
    assert tower(frames()).values.shape == (3, 16, 32)


@pytest.mark.parametrize('kind', TOWERS)
def test_what_nothing_reads_is_left_out_or_kept_frozen(kind: type[Tower]) -> None:
    lean = kind(SPACE, [None], **SMALL, layer=-2)
    whole = kind(SPACE, [None], **SMALL, layer=-2, keep=True)
    pooled = kind(SPACE, [None], **SMALL, pooled=True)

    def count(tower: Tower, learns: bool) -> int:
        return sum(p.numel() for p in tower.parameters() if p.requires_grad or not learns)
    assert count(lean, False) == count(lean, True) == count(whole, True)
    assert count(whole, False) == count(pooled, False)
    for tower in (lean, whole, pooled):
        tower(frames()).values.square().sum().backward()
        silent = [n for n, p in tower.named_parameters()
                  if p.requires_grad and (p.grad is None or not p.grad.any())]
        assert not silent


def test_clip_ends_with_its_own_projection(tmp_path: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    config = CLIPVisionConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=2,
                              patch_size=8, image_size=32, intermediate_size=128,
                              projection_dim=16)
    network = CLIPVisionModelWithProjection(config).eval()
    network.save_pretrained(tmp_path)
    tower = ClipVision(SPACE, [None], **SMALL, pooled=True, output_dim=16,
                       pretrained=str(tmp_path)).eval()
    image = frames()
    with torch.no_grad():
        wanted = network(in_colours(image.pixels[:, 0], 'clip')).image_embeds[image.frame]
        torch.testing.assert_close(tower(image).vector, wanted)
    assert tower.gives == Shape(16)


def test_published_towers_have_their_size() -> None:
    with torch.device('meta'):
        counts = [sum(p.numel() for p in tower.parameters()) for tower in (
            Vit(SPACE, [None], width=768, layers=12, heads=12, patch=16, size=224),
            ClipVision(SPACE, [None], width=768, layers=12, heads=12, patch=32, size=224,
                       pooled=True, output_dim=512),
            Dinov2Registers(SPACE, [None], width=1024, layers=24, heads=16, patch=14, size=224))]
    assert counts == [85_798_656, 87_849_216, 303_230_976]


def test_images_are_resized_and_a_history_is_in_order() -> None:
    tower = Vit(Space({'head': (40, 32)}, 31, 22, 1, 2), [None], **SMALL).eval()
    pixels = torch.rand(1, 2, 3, 32, 40)
    with torch.no_grad():
        both = tower(Frames(pixels, torch.zeros(1, dtype=torch.long))).values
        newest = tower(Frames(pixels[:, 1:], torch.zeros(1, dtype=torch.long))).values
    assert both.shape == (1, 32, 32) and tower.gives == Shape(32, 32, (4, 4), 2)
    torch.testing.assert_close(both[:, 16:], newest)


def test_a_frozen_tower_is_frozen() -> None:
    tower = Siglip(SPACE, [None], **SMALL, freeze=True)
    assert not any(p.requires_grad for p in tower.parameters())


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='layer -4'):
        Vit(SPACE, [None], **SMALL, layer=-4)
    with pytest.raises(ValueError, match='multiple'):
        Dinov2(SPACE, [None], **SMALL, feed=100)
    with pytest.raises(UserError, match='cannot be used'):
        Vit(SPACE, [None], **SMALL, pretrained=str(tmp_path / 'none'))


def test_a_projector_fuses_patch_by_patch() -> None:
    projector = Projector(SPACE, [Shape(4, 16, (4, 4)), Shape(2, 16, (4, 4))], width=8,
                          hidden=[12])
    one, other = torch.randn(2, 16, 4), torch.randn(2, 16, 2)
    whole = projector(Tokens(one), Tokens(other)).values
    alone = projector(Tokens(one[:, 3:4]), Tokens(other[:, 3:4])).values
    torch.testing.assert_close(whole[:, 3:4], alone)
    assert projector.gives == Shape(8, 16, (4, 4))
    with pytest.raises(ValueError, match='as many tokens'):
        Projector(SPACE, [Shape(4, 16), Shape(2, 9)], width=8)
