"""What makes RT-1, and its relative with cross-attention, themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vla_humanoid_control.language.encoder import SentenceEncoder
from vla_humanoid_control.models.attention_maps import attention_maps
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts import build, part_class
from vla_humanoid_control.models.parts.attention import Attention
from vla_humanoid_control.models.parts.heads.bins import BinsHead, from_bins, to_bins
from vla_humanoid_control.models.parts.part import Part
from vla_humanoid_control.models.parts.temporal.decoder import FrameDecoder, frame_mask
from vla_humanoid_control.models.parts.vision.efficientnet import FilmEfficientNet
from vla_humanoid_control.models.parts.vision.images import in_colours
from vla_humanoid_control.models.streams import Frames, Shape, Space, Targets, Tokens
from vla_humanoid_control.models.system import System
from vla_humanoid_control.support.errors import UserError

SPACE = Space({'head': (128, 96)}, 31, 22, 8, 3)
SMALL_TEXT: dict[str, Any] = {'width': 32, 'layers': 1, 'heads': 4, 'feed': 64,
                              'vocabulary': 30522}


def made(name: str, of: list[Any], space: Space = SPACE, head: bool = False, **settings: Any
         ) -> Part:
    torch.manual_seed(0)
    return build(part_class(name, 'a test', head), space, of, settings, 'a test').eval()


def small_eyes(space: Space, frames: int = 1) -> tuple[FilmEfficientNet, Frames]:
    eyes = made('film_efficientnet', [None, Shape(8)], space, width=0.2, depth=0.2,
                output_dim=16)
    assert isinstance(eyes, FilmEfficientNet)
    columns, rows = next(iter(space.images.values()))
    pixels = torch.rand(2, frames, 3, rows, columns,
                        generator=torch.Generator().manual_seed(0)) * 2 - 1
    return eyes, Frames(pixels, torch.tensor([0, 0, 1]))


def test_it_has_114_tokens() -> None:
    config = load_model_config('rt1')
    with torch.device('meta'):
        system = System(config, config.space)
    transformer = system.part('transformer', FrameDecoder)
    assert transformer.mask.shape == (114, 114) and transformer.position.in_features == 114
    assert transformer.gives == Shape(512, 11)
    eyes = system.part('eyes', FilmEfficientNet)
    assert eyes.gives == Shape(512, 6 * 81, (9, 9), 6) and len(eyes.films) == 26


def test_300_pixels_are_nine_cells() -> None:
    eyes, image = small_eyes(Space({'head': (300, 300)}, 0, 1, 1))
    with torch.no_grad():
        assert eyes(image, Tokens(torch.zeros(3, 1, 8))).values.shape == (3, 81, 16)


def test_film_starts_as_the_identity() -> None:
    eyes, image = small_eyes(SPACE, frames=3)
    said = torch.randn(3, 1, 8)
    with torch.no_grad():
        seen = eyes(image, Tokens(said)).values  # [B, T * N, D]
        plain = eyes.network(in_colours(image.pixels.flatten(0, 1), 'imagenet'))
        cells = eyes.project(plain.last_hidden_state).flatten(2).transpose(1, 2)
    torch.testing.assert_close(seen, cells.reshape(2, -1, 16)[image.frame])
    eyes.film.modulation.weight.data.normal_()
    with torch.no_grad():
        assert not torch.equal(eyes(image, Tokens(said)).values, seen)


def test_eyes_come_from_a_folder(tmp_path: Path) -> None:
    eyes, image = small_eyes(SPACE)
    eyes.network.save_pretrained(tmp_path)
    settings = {'width': 0.2, 'depth': 0.2, 'output_dim': 16, 'pretrained': str(tmp_path)}
    again: Any = made('film_efficientnet', [None, Shape(8)], **settings)
    with torch.no_grad():
        one, other = (e.network.embeddings(image.pixels[:, 0]) for e in (eyes, again))
    assert torch.equal(one, other)
    with pytest.raises(UserError, match='cannot be used'):
        made('film_efficientnet', [None, Shape(8)], **{**settings, 'width': 0.4})


def test_frozen_eyes_stay_as_they_are() -> None:
    eyes = made('film_efficientnet', [None, Shape(8)], width=0.2, depth=0.2, output_dim=16,
                freeze=True)
    assert isinstance(eyes, FilmEfficientNet)
    before = {k: v.clone() for k, v in eyes.network.state_dict().items()}
    eyes.train()(small_eyes(SPACE, frames=3)[1], Tokens(torch.ones(3, 1, 8))).values.sum(
        ).backward()
    assert all(torch.equal(v, before[k]) for k, v in eyes.network.state_dict().items())
    assert all(p.grad is None for p in eyes.network.parameters())
    assert eyes.films[0].modulation.weight.grad is not None


def test_an_action_looks_at_images_and_at_no_action() -> None:
    """As the mask in RT-1's code: causal, less all pairs of actions."""
    mask = frame_mask(frames=2, seen=3, actions=2, beside=1)
    assert mask.shape == (11, 11) and not mask.triu(1).any()
    rows = [''.join('x' if there else '.' for there in row) for row in mask.tolist()]
    assert rows[5] == 'xxxx.......'  # second action of the first frame
    assert rows[6] == 'xxxxxxx....'  # first image token of the second frame
    assert rows[10] == 'xxxx..xxx..'  # last action: what stands before, and both images


def test_actions_are_read_one_place_earlier_in_one_pass() -> None:
    decoder = made('frame_decoder', [Shape(8, 6, frames=3)], width=16, layers=1, heads=2, key=4,
                   actions='rows')
    assert isinstance(decoder, FrameDecoder)
    image = torch.randn(2, 6, 8)
    seen = []
    decoder.layers[-1].register_forward_hook(lambda _, __, out: seen.append(out))
    with torch.no_grad():
        read = decoder(Tokens(image)).values
    assert torch.equal(read, seen[0][:, -9:-1]) and read.shape == (2, 8, 16)


def test_a_bin_is_the_floor_of_255_shares() -> None:
    values = torch.tensor([0.0, 0.5, 0.999, 1.0, 7.0, -7.0])
    assert to_bins(values, 256, 0, 1).tolist() == [0, 127, 254, 255, 255, 0]
    assert to_bins(torch.tensor([-3.0, 3.0]), 256, -3, 3).tolist() == [0, 255]
    every = torch.arange(256)
    assert torch.equal(to_bins(from_bins(every, 256, -2, 2) + 1e-4, 256, -2, 2), every)


def test_bins_are_learned_and_chosen() -> None:
    space = Space({'head': (8, 8)}, 0, 3, 2)
    head = made('bins', [Shape(4, 2)], space, head=True, bins=16, low=-2, high=2)
    assert isinstance(head, BinsHead)
    actions = torch.rand(5, 2, 3) * 4 - 2
    right = torch.nn.functional.one_hot(to_bins(actions, 16, -2, 2), 16) * 50.0
    assert float(head.loss(right, Targets(actions)).max()) < 1e-6
    assert ((actions - head.predict(right)).abs() <= 4 / 15).all()
    assert head(Tokens(torch.randn(5, 2, 4))).shape == (5, 2, 3, 16)
    with pytest.raises(UserError, match='need a token each'):
        made('bins', [Shape(4, 4)], space, head=True)


def test_a_token_learned_is_a_mean_of_cells() -> None:
    learner = made('token_learner', [Shape(4, 3 * 12, (3, 4), 3)], tokens=5)
    cells = torch.randn(2, 36, 4)
    with torch.no_grad():
        few = learner(Tokens(cells)).values.unflatten(1, (3, 5))  # [B, T, S, D]
    each = cells.unflatten(1, (3, 12))
    assert (few <= each.amax(2, keepdim=True) + 1e-6).all()
    assert (few >= each.amin(2, keepdim=True) - 1e-6).all()


def test_a_pose_is_a_pose() -> None:
    space = load_model_config('rt1_cross_attention').space
    head: Any = made('pose', [Shape(4)], space, head=True, hidden=8, bound=0.5)
    head.net[-1].weight.data.mul_(30)
    pose = head.predict(head(Tokens(torch.randn(6, 1, 4)))).detach()
    assert pose.shape == (6, 1, 9) and float(pose[..., :3].abs().max()) <= 0.5
    torch.testing.assert_close(pose[..., 3:7].norm(dim=-1), torch.ones(6, 1))
    assert ((pose[..., 7:] >= 0) & (pose[..., 7:] <= 1)).all()
    turned = torch.cat([pose[..., :3], -pose[..., 3:7], pose[..., 7:]], dim=-1)
    assert float(head.loss(pose, Targets(turned)).abs().max()) < 1e-12
    assert (head.loss(pose, Targets(pose.roll(1, 0))) > 0).all()
    with pytest.raises(UserError, match='a pose has 9 channels'):
        made('pose', [Shape(4)], Space({'head': (8, 8)}, 0, 7, 1), head=True, hidden=8)


@pytest.mark.parametrize('settings', [{'cell': 'gru'}, {'cell': 'lstm', 'pool': 'max'}])
def test_a_recurrent_network_reads_frames_in_order(settings: dict[str, str]) -> None:
    memory = made('recurrent', [Shape(4, 6, frames=3), Shape(5)], width=8, layers=2, **settings)
    image, said = torch.randn(2, 6, 4), Tokens(torch.randn(2, 1, 5))
    newer = image.clone()
    newer[:, 4:] = 0
    with torch.no_grad():
        one, other = memory(Tokens(image), said), memory(Tokens(newer), said)
    assert one.tokens.values.shape == (2, 3, 8)
    assert torch.equal(one.last.values, one.tokens.values[:, -1:])
    assert torch.equal(one.tokens.values[:, :2], other.tokens.values[:, :2])
    assert not torch.equal(one.last.values, other.last.values)


def test_the_history_has_an_order() -> None:
    history = made('temporal_transformer', [Shape(4, 6, frames=3), Shape(5, None)], width=8,
                   layers=1, heads=2, feed=16)
    image, words = torch.randn(2, 6, 4), Tokens(torch.randn(2, 7, 5))
    swapped = image.unflatten(1, (3, 2))[:, [1, 0, 2]].flatten(1, 2)
    with torch.no_grad():
        one, other = history(Tokens(image), words), history(Tokens(swapped), words)
    assert one.last.values.shape == (2, 1, 8)
    assert not torch.allclose(one.last.values, other.last.values)


def test_streams_look_at_each_other_and_not_at_what_is_absent() -> None:
    fused = made('cross_attention', [Shape(4, 3 * 6, (2, 3), 3), Shape(5, None)], width=8,
                 heads=2, layers=2, feed=16)
    cells, mask = Tokens(torch.randn(2, 18, 4)), torch.tensor([[True, True, False]] * 2)
    words = torch.randn(2, 3, 5)
    absent, present = words.clone(), words.clone()
    absent[:, 2], present[:, 1] = 9, 9
    with torch.no_grad():
        one, same, other = (fused(cells, Tokens(w, mask)) for w in (words, absent, present))
        back = fused(Tokens(cells.values + 1), Tokens(words, mask))
    assert torch.equal(one.first.values, same.first.values)
    assert not torch.equal(one.first.values, other.first.values)
    assert not torch.equal(one.second.values[:, 0], back.second.values[:, 0])


def test_attention_gives_its_map_where_asked() -> None:
    torch.manual_seed(0)
    attention = Attention(8, 2, memory=6, key=3).eval()
    x, memory = torch.randn(2, 4, 8), torch.randn(2, 5, 6)
    mask = (torch.arange(5) < 3).expand(2, 1, 1, 5)
    with torch.no_grad():
        plain = attention(x, memory, mask)
        with attention_maps(attention) as maps:
            torch.testing.assert_close(attention(x, memory, mask), plain)
    (seen,) = maps.values()
    assert seen.shape == (2, 2, 4, 5)
    torch.testing.assert_close(seen.sum(-1), torch.ones(2, 2, 4))
    assert not seen[..., 3:].any()


@pytest.mark.parametrize('kind', ['t5', 'bert'])
def test_words_are_read_once_for_all_that_say_the_same(kind: str) -> None:
    said = made(kind, [None], output_dim=12, **SMALL_TEXT)
    with torch.no_grad():
        many = said(('go left', 'go to the big red box', 'go left'))
        alone = said(('go left',))
    assert many.values.shape[2] == 12 and torch.equal(many.values[0], many.values[2])
    count = int(alone.exists.sum())
    assert many.exists.sum(1).tolist()[::2] == [count, count]
    torch.testing.assert_close(many.values[0, :count], alone.values[0])


def test_minilm_is_a_bert() -> None:
    said = made('bert', [None], width=384, layers=6, heads=12, feed=1536, vocabulary=30522,
                pretrained='minilm', freeze=True)
    features, mask = SentenceEncoder().encode(['go to the red box'])
    with torch.no_grad():
        mine = said(('go to the red box',)).values[0]
    torch.testing.assert_close(mine, torch.from_numpy(features[0][mask[0]]))
    assert not any(p.requires_grad for p in said.parameters())


def test_a_tokenizer_must_be_there_and_fit() -> None:
    with pytest.raises(UserError, match='There is no tokenizer'):
        made('t5', [None], tokenizer='/nowhere/at/all', **SMALL_TEXT)
    with pytest.raises(UserError, match='30522 pieces of words'):
        made('t5', [None], **{**SMALL_TEXT, 'vocabulary': 1000})
