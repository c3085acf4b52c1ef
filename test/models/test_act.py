"""ACT: a style in training alone, a ResNet with norms that learn nothing, positions."""

from __future__ import annotations

import torch
from torch import nn

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.fusion.detr import grid_places, line_places
from vla_humanoid_control.models.parts.heads.cvae import CvaeHead, repeated
from vla_humanoid_control.models.parts.vision.resnet_frozen_norm import (
    ChannelAffine,
    FrozenNormResNet,
)
from vla_humanoid_control.models.streams import Frames, Shape, Space, Targets, Tokens
from vla_humanoid_control.models.system import System

SPACE = Space({'head': (128, 96)}, 5, channels=6, horizon=4)
STREAMS = [Tokens(torch.randn(2, 12, 10, generator=torch.Generator().manual_seed(0))),
           Tokens(torch.ones(2, 1, 5))]


def head(*others: Shape, padding: bool = False) -> CvaeHead:
    torch.manual_seed(0)
    return CvaeHead(SPACE, [Shape(10, 12, (3, 4)), Shape(5), *others], width=16, heads=2,
                    hidden=32, encoder_layers=1, decoder_layers=2, posterior_layers=1, latent=4,
                    padding=padding).eval()


def test_the_style_is_drawn_in_training_alone() -> None:
    act, targets = head(), Targets(torch.randn(2, 4, 6))
    with torch.no_grad():
        seen = act(*STREAMS)
        answers = [act.predict(seen, torch.Generator().manual_seed(i)) for i in range(2)]
        losses = [act.loss(seen, targets, torch.Generator().manual_seed(i)) for i in range(2)]
    assert torch.equal(*answers) and not torch.equal(*losses)
    assert answers[0].shape == (2, 4, 6)


def test_a_style_that_says_more_costs_more() -> None:
    act, targets = head(), Targets(torch.randn(2, 4, 6))
    with torch.no_grad():
        act.posterior.output.weight.zero_()
        act.posterior.output.bias.zero_()
        seen = act(*STREAMS)
        plain = act.loss(seen, targets, torch.Generator().manual_seed(0))
        act.style.weight.zero_()  # the style changes no action
        before = act.loss(act(*STREAMS), targets, torch.Generator().manual_seed(0))
        act.posterior.output.bias[:4] = 0.5  # the means
        after = act.loss(act(*STREAMS), targets, torch.Generator().manual_seed(0))
    assert plain.shape == (2,)
    torch.testing.assert_close(after - before, torch.full((2,), 10.0 * 4 * 0.5 * 0.5 ** 2))


def test_all_decoder_layers_count_and_what_is_left_out_of_the_first_does_not() -> None:
    """In the code of the paper only the first of seven layers reaches the actions."""
    act = head()
    with torch.no_grad():
        before = act.predict(act(*STREAMS))
        for weight in act.parameters():
            if not weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
        torch.testing.assert_close(act.predict(act(*STREAMS)), before, atol=1e-5, rtol=1e-5)
        act.decoder.layers[1].feed[0].weight.mul_(2.0)
        assert not torch.allclose(act.predict(act(*STREAMS)), before)


def test_words_are_an_option() -> None:
    act = head(Shape(7, None))
    words = torch.randn(2, 3, 7)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    filled = torch.where(mask[..., None], words, torch.full((), 50.0))
    with torch.no_grad():
        one, same, other = (act.predict(act(*STREAMS, Tokens(w, mask)))
                            for w in (words, filled, words + 1))
    torch.testing.assert_close(one, same)
    assert not torch.allclose(one, other)
    published = load_model_config('act')
    with torch.device('meta'):
        assert System(published, published.space).needs() == {'image', 'joints'}


def test_padding_is_what_only_repeats() -> None:
    actions = torch.tensor([[1.0, 2.0, 2.0, 2.0], [1.0, 1.0, 2.0, 3.0]])[..., None]
    assert repeated(actions).int().tolist() == [[0, 0, 1, 1], [0, 0, 0, 0]]
    act = head(padding=True)
    act.loss(act(*STREAMS), Targets(torch.randn(2, 4, 6))).sum().backward()
    assert act.padding is not None and act.padding.weight.grad.abs().max() > 0


def test_no_norm_of_the_resnet_learns() -> None:
    torch.manual_seed(0)
    eyes = FrozenNormResNet(SPACE, [None], depth=18, width=16)
    assert all(p.ndim == 4 for p in eyes.parameters())
    image = Frames(torch.randn(2, 1, 3, 96, 128), torch.arange(2))
    with torch.no_grad():
        cells, alone = eyes(image), eyes(Frames(image.pixels[:1], torch.zeros(1).long()))
    assert cells.values.shape == (2, 12, 128) and eyes.gives.grid == (3, 4)
    assert 0.1 < float(cells.values.std()) < 10  # a batch norm of statistics 0 and 1: hundreds
    torch.testing.assert_close(cells.values[:1], alone.values)


def test_a_frozen_batch_norm_does_what_it_did() -> None:
    norm = nn.BatchNorm2d(3).eval()
    assert norm.running_mean is not None and norm.running_var is not None
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.uniform_(0.5, 2.0)
        x = torch.randn(2, 3, 4, 4)
        torch.testing.assert_close(ChannelAffine(norm)(x), norm(x))


def test_each_place_is_another() -> None:
    for places in (grid_places((3, 4), 16), line_places(12, 16)):
        assert places.shape == (12, 16) and len(places.unique(dim=0)) == 12
    rows = grid_places((3, 4), 16).view(3, 4, 16)
    assert torch.equal(rows[:, 0, :8], rows[:, 1, :8])  # the first half tells the row
    assert torch.equal(rows[0, :, 8:], rows[1, :, 8:])
