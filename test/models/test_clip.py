"""CLIP: the towers are those of `transformers`, and a phrase names an object."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.heads.contrastive import (
    ContrastiveHead,
    Pairs,
    named_object,
)
from vla_humanoid_control.models.parts.language.tokenizers import HubTokenizer
from vla_humanoid_control.models.parts.vision.clip_resnet import ClipResNet
from vla_humanoid_control.models.parts.vision.images import in_colours
from vla_humanoid_control.models.streams import Frames, Inputs, Shape, Space, Targets, Tokens
from vla_humanoid_control.models.system import System
from vla_humanoid_control.support.errors import UserError


def head(width: int = 16) -> ContrastiveHead:
    return ContrastiveHead(Space({}, 0, 1, 1), [Shape(width), Shape(width), None, None])


def frames(which: Tensor) -> Frames:
    return Frames(torch.zeros(int(which.max()) + 1, 1, 3, 8, 8), which)


def test_the_temperature_starts_where_clip_has_it_and_has_a_bound() -> None:
    made = head()
    assert made.log_scale.item() == pytest.approx(math.log(1 / 0.07))
    made.log_scale.data.fill_(9.0)
    eye = torch.eye(16)
    made.loss(Pairs(eye, eye, eye.bool()), Targets())
    assert made.scale.item() == pytest.approx(100.0)


def test_the_loss_is_cross_entropy_both_ways() -> None:
    torch.manual_seed(0)
    made, texts = head(), ('a', 'b', 'c', 'd')
    seen, said = torch.randn(4, 16), torch.randn(4, 16)
    pairs = made(Tokens.of(seen), Tokens.of(said), texts, frames(torch.arange(4)))
    cosines = functional.cosine_similarity(seen[:, None], said[None], dim=2) / 0.07
    both = sum(functional.cross_entropy(c, torch.arange(4)) for c in (cosines, cosines.T)) / 2
    assert made.loss(pairs, Targets()).mean().item() == pytest.approx(float(both), rel=1e-5)
    assert torch.allclose(made.predict(pairs), cosines.diag() * 0.07, atol=1e-6)


def test_rows_of_one_text_or_one_image_are_not_held_to_differ() -> None:
    torch.manual_seed(0)
    made, vectors = head(), torch.randn(4, 16)
    pairs = made(Tokens.of(vectors), Tokens.of(vectors), ('a', 'a', 'b', 'c'),
                 frames(torch.tensor([0, 1, 2, 2])))
    assert pairs.alike.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    others = vectors[[0, 2, 3]]  # all that the first row is told apart from
    without = made(Tokens.of(others), Tokens.of(others), ('a', 'b', 'c'),
                   frames(torch.arange(3)))
    assert made.loss(pairs, Targets())[0].item() == \
        pytest.approx(made.loss(without, Targets())[0].item())


def test_a_phrase_names_the_object_that_is_most_like_it() -> None:
    torch.manual_seed(0)
    crops = functional.normalize(torch.randn(5, 64), dim=1)
    phrases = 3.0 * crops[[3, 0]] + 0.1 * torch.randn(2, 64)
    chances = named_object(crops, phrases, 1 / 0.07)
    assert chances.shape == (2, 5) and torch.allclose(chances.sum(1), torch.ones(2))
    assert chances.argmax(1).tolist() == [3, 0] and chances.amax(1).min() > 0.9
    assert torch.allclose(head(64).choose(crops, phrases), chances, atol=1e-5)


def test_towers_are_those_of_transformers() -> None:
    """Weights of a `CLIPModel` give its logits here."""
    config = load_model_config('clip', demo=True)
    side = config.parts['eyes'].settings['size']
    system = System(config, Space({'head': (side, side)}, 31, 22, 8)).eval()
    eyes, said = config.parts['eyes'].settings, config.parts['said'].settings
    torch.manual_seed(0)
    original = CLIPModel(CLIPConfig(
        text_config={'vocab_size': said['vocabulary'], 'hidden_size': said['width'],
                     'intermediate_size': 4 * said['width'],
                     'num_hidden_layers': said['layers'], 'num_attention_heads': said['heads'],
                     'max_position_embeddings': said['length'],
                     'eos_token_id': 102},  # the separator of word pieces
        vision_config={'hidden_size': eyes['width'], 'intermediate_size': 4 * eyes['width'],
                       'num_hidden_layers': eyes['layers'], 'image_size': eyes['size'],
                       'num_attention_heads': eyes['heads'], 'patch_size': eyes['patch']},
        projection_dim=eyes['output_dim'])).eval()
    system.eyes.network.load_state_dict(original.vision_model.state_dict())
    system.eyes.project.load_state_dict(original.visual_projection.state_dict())
    system.said.network.text_model.load_state_dict(original.text_model.state_dict())
    system.said.network.text_projection.load_state_dict(original.text_projection.state_dict())
    text = ('a red box', 'a blue cup beside a green ball', 'go')
    image, frame = torch.rand(2, 1, 3, side, side) * 2 - 1, torch.tensor([0, 1, 1])
    ids, mask = HubTokenizer('wordpiece', 32)(text)
    with torch.no_grad():
        wanted = original(input_ids=ids, attention_mask=mask.long(),
                          pixel_values=in_colours(image[:, 0], 'clip')[frame])
        pairs = system(Inputs({'head': image}, frame, text=text))['alignment']
    logits = original.logit_scale.exp() * pairs.images @ pairs.texts.T
    assert torch.allclose(logits, wanted.logits_per_image, atol=1e-4)


def resnet(**settings: Any) -> ClipResNet:
    sizes = {'depths': [1, 2, 1, 1], 'output_dim': 24, 'size': 64, 'width': 8, 'heads': 4}
    return ClipResNet(Space({'head': (64, 64)}, 0, 1, 1), [None], **{**sizes, **settings})


def test_the_resnet_takes_weights_by_openais_names(tmp_path: Path) -> None:
    def theirs(name: str) -> str:
        for new, old in (('pool.positions', 'attnpool.positional_embedding'),
                         ('pool.read.out', 'attnpool.c_proj'),
                         ('pool.read.key', 'attnpool.k_proj'),
                         ('pool.read.query', 'attnpool.q_proj'),
                         ('pool.read.value', 'attnpool.v_proj')):
            name = name.replace(new, old)
        return f'visual.{name}'
    weights = {theirs(name): torch.randn_like(value.float()).to(value.dtype)
               for name, value in resnet().state_dict().items()}
    assert {'visual.layer2.0.downsample.1.running_mean', 'visual.conv3.weight',
            'visual.layer4.0.bn3.bias', 'visual.attnpool.c_proj.bias'} < set(weights)
    save_file({**weights, 'logit_scale': torch.zeros(1)}, tmp_path / 'rn.safetensors')
    loaded = resnet(pretrained=str(tmp_path / 'rn.safetensors'))
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, weights[theirs(name)]), name
    for wrong in ({'depths': [1, 1, 1, 1]}, {'pretrained': str(tmp_path / 'none.safetensors')}):
        with pytest.raises(UserError, match='cannot be used'):
            resnet(**{'pretrained': str(tmp_path / 'rn.safetensors'), **wrong})


def test_frozen_norms_keep_their_statistics() -> None:
    made = resnet(freeze=True).train()
    before = made.bn1.running_mean.clone()
    made(frames(torch.arange(2)))
    assert torch.equal(made.bn1.running_mean, before)
    assert not any(p.requires_grad for p in made.parameters())


def test_the_towers_of_openvla_clip_are_frozen() -> None:
    config = load_model_config('openvla_clip')
    with torch.device('meta'):
        system = System(config, config.space)
    trained = {name.partition('.')[0] for name, _ in system.cloned()}
    assert trained == {'joined', 'action'}
