"""An original of LeRobot with random weights, and what it answers. Runs in its own environment.

    .venv-lerobot/bin/python test/models/lerobot_original.py act|smolvla FOLDER

FOLDER/inputs.safetensors is what it is asked; the checkpoint and outputs.safetensors go there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vla_humanoid_control.policy.lerobot import declare_missing_operators

declare_missing_operators()
from lerobot.configs.types import FeatureType, PolicyFeature  # noqa: E402 - needs them
from lerobot.policies.act.configuration_act import ACTConfig  # noqa: E402
from lerobot.policies.act.modeling_act import ACTPolicy  # noqa: E402
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig  # noqa: E402
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy  # noqa: E402
from transformers import AutoConfig, AutoProcessor, SmolVLMConfig  # noqa: E402

IMAGE, STATE, ACTION = 'observation.images.head', 'observation.state', 'action'


def main(kind: str, folder: Path) -> None:
    """Write it."""
    torch.manual_seed(1)
    asked = load_file(folder / 'inputs.safetensors')
    size = asked['image'].shape[2:]
    features: dict[str, Any] = {
        'input_features': {IMAGE: PolicyFeature(FeatureType.VISUAL, (3, *size)),
                           STATE: PolicyFeature(FeatureType.STATE, (2,))},
        'output_features': {ACTION: PolicyFeature(FeatureType.ACTION, (3,))},
        'chunk_size': 8, 'n_action_steps': 8, 'device': 'cpu'}
    policy, answer = (act if kind == 'act' else smolvla)(features, asked)
    policy.save_pretrained(folder)
    save_file({n: t.contiguous() for n, t in answer.items()}, folder / 'outputs.safetensors')


@torch.no_grad()
def act(features: dict[str, Any], asked: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    """ACT, whose norms all do something."""
    policy: Any = ACTPolicy(ACTConfig(
        **features, pretrained_backbone_weights=None, dim_model=32, n_heads=2, dropout=0.0,
        dim_feedforward=64, n_encoder_layers=2, n_decoder_layers=2, n_vae_encoder_layers=1,
        latent_dim=4))
    shake(policy)
    batch = {'observation.images': [asked['image']], STATE: asked['state']}
    actions = policy.eval().model(batch)[0]
    taught = {**batch, ACTION: asked['actions'], 'action_is_pad': torch.zeros(
        asked['actions'].shape[:2], dtype=torch.bool)}
    _, (mean, log_variance) = policy.train().model(taught)
    return policy, {'actions': actions, 'mean': mean, 'log_variance': log_variance}


@torch.no_grad()
def smolvla(features: dict[str, Any], asked: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    """SmolVLA without its tokenizer: the ids are given."""
    config = SmolVLMConfig(
        vision_config={'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 2,
                       'num_attention_heads': 2, 'image_size': 64, 'patch_size': 16},
        text_config={'model_type': 'llama', 'hidden_size': 32, 'intermediate_size': 64,
                     'num_hidden_layers': 4, 'num_attention_heads': 4, 'num_key_value_heads': 2,
                     'head_dim': 8, 'vocab_size': 30522, 'pad_token_id': None,
                     'rms_norm_eps': 1e-5},
        scale_factor=2, tie_word_embeddings=False)
    AutoConfig.from_pretrained = lambda *_, **__: config
    AutoProcessor.from_pretrained = lambda *_, **__: _Processor()
    policy: Any = SmolVLAPolicy(SmolVLAConfig(
        **features, vlm_model_name='random', load_vlm_weights=False, num_steps=3,
        resize_imgs_with_padding=(64, 64), num_vlm_layers=4, max_state_dim=2, max_action_dim=3))
    shake(policy)
    model = policy.eval().model
    rows = len(asked['state'])
    return policy, {'actions': model.sample_actions(
        [asked['image'] * 2 - 1], [torch.ones(rows, dtype=torch.bool)], asked['ids'],
        asked['mask'].bool(), asked['state'], noise=asked['noise'])}


class _Processor:
    """Two ids that are never used."""

    class tokenizer:  # noqa: N801
        fake_image_token_id, global_image_token_id = 1, 2


def shake(policy: Any) -> None:
    """Move what begins as zeros or ones, so that it matters."""
    for name, value in policy.state_dict().items():
        if name.endswith('running_var'):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and 'pos_enc' not in name and value.ndim == 1:
            value.add_(0.1 * torch.randn_like(value))
        elif 'lm_expert' in name or 'position_embedding' in name:
            value.mul_(3.0)


if __name__ == '__main__':
    main(sys.argv[1], Path(sys.argv[2]))
