"""RoboFlamingo: gates at zero, frozen parts, cameras frame by frame, arm and gripper."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.fusion.flamingo import Flamingo
from vla_humanoid_control.models.parts.fusion.resampler import PerceiverResampler
from vla_humanoid_control.models.parts.heads.arm_gripper import ArmGripperHead
from vla_humanoid_control.models.parts.language.tokenizers import HubTokenizer
from vla_humanoid_control.models.parts.vision.cameras import Cameras
from vla_humanoid_control.models.streams import Frames, Shape, Space, Targets, Tokens
from vla_humanoid_control.models.system import System

SPACE = Space({'static': (32, 32), 'wrist': (32, 32)}, 31, 7, 1, frames=3)
TEXTS = ('wave', 'go to the red box')


def flamingo(model: str, **settings: object) -> Flamingo:
    sizes = {'mpt': {'d_model': 16, 'n_layers': 2, 'n_heads': 2, 'max_seq_len': 32},
             'llama': {'hidden_size': 16, 'num_hidden_layers': 2, 'num_attention_heads': 2,
                       'intermediate_size': 32},
             'gpt2': {'n_embd': 16, 'n_layer': 2, 'n_head': 2}}[model]
    torch.manual_seed(0)
    return Flamingo(SPACE, [None, Shape(12, 3 * 5, frames=3)], model=model, heads=2, head_width=4,
                    sizes={**sizes, 'vocab_size': 30522}, **settings).eval()


@pytest.mark.parametrize('model', ['mpt', 'llama', 'gpt2'])
def test_closed_gates_leave_the_language_model_as_it_is(model: str) -> None:
    part, media = flamingo(model), Tokens(torch.randn(2, 15, 12))
    with torch.no_grad():
        closed = part(TEXTS, media).values
        ids, mask = HubTokenizer('wordpiece', 64)(TEXTS)
        plain = copy.deepcopy(part.network)
        for module in plain.modules():
            module._forward_pre_hooks.clear()
        words = plain(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        wanted = torch.stack([w[m].amax(0) for w, m in zip(words, mask)])
        for gate in part.gates:
            gate.attention_gate.fill_(0.5)
        opened = part(TEXTS, media).values
        alone = part(TEXTS[:1], Tokens(media.values[:1])).values
    torch.testing.assert_close(closed, wanted[:, None].expand(-1, 3, -1))
    assert not torch.allclose(opened[:, 0], opened[:, 1])
    torch.testing.assert_close(alone, opened[:1], atol=1e-5, rtol=1e-4)


def test_a_copy_has_gates_of_its_own() -> None:
    """An average of the weights is a copy: its hooks must not call the gates of the original."""
    part, media = flamingo('mpt'), Tokens(torch.randn(2, 15, 12))
    with torch.no_grad():
        before = part(TEXTS, media).values
        twin = copy.deepcopy(part)
        for gate in twin.gates:
            gate.attention_gate.fill_(0.5)
        assert not torch.allclose(twin(TEXTS, media).values, before)
        assert torch.equal(part(TEXTS, media).values, before)


def test_it_looks_before_every_so_many_layers() -> None:
    assert len(flamingo('mpt').gates) == 2
    part = flamingo('mpt', every=2, freeze=True)
    assert len(part.gates) == 1
    assert [len(b._forward_pre_hooks) for b in part.network.blocks] == [0, 1]
    trained = {n.partition('.')[0] for n, p in part.named_parameters() if p.requires_grad}
    assert trained == {'gates'}


def test_every_image_has_latents_of_its_own() -> None:
    torch.manual_seed(0)
    part = PerceiverResampler(SPACE, [Shape(8, 2 * 3 * 4, (2, 2), 3)], latents=5, depth=2, heads=2,
                              head_width=4).eval()
    assert part.images == 6 and part.gives == Shape(8, 30, frames=3)
    cells = torch.randn(2, 24, 8)
    with torch.no_grad():
        plain = part(Tokens(cells)).values
        cells[:, 4:8] += 1.0  # the second image
        moved = (part(Tokens(cells)).values - plain).abs().amax((0, 2)) > 0
    assert moved.nonzero().flatten().tolist() == [5, 6, 7, 8, 9]


def test_cameras_share_their_eyes_and_are_joined_frame_by_frame() -> None:
    torch.manual_seed(0)
    eyes = {'part': 'clip_vision', 'width': 8, 'layers': 1, 'heads': 2, 'patch': 16, 'size': 32}
    part = Cameras(SPACE, [None, None], eyes=eyes).eval()
    assert part.gives == Shape(8, 2 * 3 * 4, (2, 2), 3)
    static, wrist = (Frames(torch.randn(1, 3, 3, 32, 32), torch.zeros(1, dtype=torch.long))
                     for _ in range(2))
    with torch.no_grad():
        made = part(static, wrist).values.unflatten(1, (3, 2, 4))
        torch.testing.assert_close(made[:, :, 1].flatten(1, 2), part.eyes(wrist).values)
        torch.testing.assert_close(made[:, :, 0].flatten(1, 2), part.eyes(static).values)


def test_the_arm_is_bounded_and_the_gripper_open_or_closed() -> None:
    torch.manual_seed(0)
    head = ArmGripperHead(SPACE, [Shape(8)], hidden=[8], grippers=[6], weight=0.01)
    output = head(Tokens(torch.randn(4, 1, 8) * 100))
    assert output.shape == (4, 1, 7) and output[..., :6].abs().max() <= 1
    actions = torch.rand(4, 1, 7) * 2 - 1
    wanted = functional.mse_loss(output[..., :6], actions[..., :6]) * 6 / 7 + \
        0.01 * functional.binary_cross_entropy_with_logits(
            output[..., 6], (actions[..., 6] > 0).float()) / 7
    torch.testing.assert_close(head.loss(output, Targets(actions)).mean(), wanted)
    assert set(head.predict(output)[..., 6].flatten().tolist()) <= {-1.0, 1.0}
    assert torch.equal(head.predict(output)[..., :6], output[..., :6])
    assert head.hand is not None and head.hand[-1].out_features == 1


def test_what_is_pretrained_is_frozen() -> None:
    config = load_model_config('robo_flamingo')
    with torch.device('meta'):
        system = System(config, config.space)
    trained = [(name, p) for name, p in system.cloned()]
    assert {'.'.join(n.split('.')[:2]) if n.startswith('lang') else n.split('.')[0]
            for n, _ in trained} == {'latents', 'language.gates', 'memory', 'action'}
    assert sum(p.numel() for _, p in trained) == 985_214_263
