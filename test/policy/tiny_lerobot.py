"""Writes a tiny checkpoint of LeRobot with random weights. Runs in LeRobot's own environment.

    .venv-lerobot/bin/python test/policy/tiny_lerobot.py act|smolvla FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from vla_humanoid_control.policy.lerobot import declare_missing_operators

declare_missing_operators()
from lerobot.configs.types import FeatureType, PolicyFeature  # noqa: E402 - needs them
from lerobot.policies.act.configuration_act import ACTConfig  # noqa: E402
from lerobot.policies.act.modeling_act import ACTPolicy  # noqa: E402
from lerobot.policies.factory import make_pre_post_processors  # noqa: E402
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig  # noqa: E402
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from transformers import (  # noqa: E402
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

IMAGE, STATE, ACTION = 'observation.images.head', 'observation.state', 'action'
FEATURES: dict[str, Any] = {
    'input_features': {IMAGE: PolicyFeature(FeatureType.VISUAL, (3, 48, 64)),
                       STATE: PolicyFeature(FeatureType.STATE, (2,))},
    'output_features': {ACTION: PolicyFeature(FeatureType.ACTION, (3,))},
    'chunk_size': 8, 'n_action_steps': 8, 'device': 'cpu'}
WORDS = ('walk', 'turn', 'reach', 'to', 'the', 'red', 'box', 'forward', 'left', 'right')


def main(kind: str, folder: Path) -> None:
    """Write it."""
    torch.manual_seed(0)
    policy: Any
    if kind == 'act':
        policy = ACTPolicy(ACTConfig(
            **FEATURES, pretrained_backbone_weights=None, dim_model=32, n_heads=2,
            dim_feedforward=64, n_encoder_layers=1, n_vae_encoder_layers=1, latent_dim=8))
    else:
        policy = SmolVLAPolicy(SmolVLAConfig(
            **FEATURES, vlm_model_name=str(_backbone(folder.parent / 'backbone')),
            resize_imgs_with_padding=(64, 64), num_vlm_layers=2, num_steps=2, max_state_dim=4,
            max_action_dim=4))
    processors = make_pre_post_processors(policy.config, dataset_stats={
        IMAGE: {'mean': torch.full((3, 1, 1), 0.5), 'std': torch.full((3, 1, 1), 0.25)},
        STATE: {'mean': torch.zeros(2), 'std': torch.ones(2)},
        ACTION: {'mean': torch.zeros(3), 'std': torch.full((3,), 0.1)}})
    for part in (policy, *processors):
        part.save_pretrained(folder)


def _backbone(folder: Path) -> Path:
    """What SmolVLA builds its language model from: configuration, tokenizer and processor."""
    special = {'image_token': '<image>', 'fake_image_token': '<fake_token_around_image>',
               'global_image_token': '<global-img>',
               'end_of_utterance_token': '<end_of_utterance>'}
    vocabulary = {word: number for number, word in enumerate(
        ('<unk>', '<pad>', *special.values(), *WORDS))}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token='<unk>'))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token='<unk>', pad_token='<pad>',
        extra_special_tokens=special)
    SmolVLMProcessor(SmolVLMImageProcessor(), tokenizer, SmolVLMVideoProcessor(), image_seq_len=4,
                     chat_template='').save_pretrained(folder)
    SmolVLMConfig(
        vision_config={'hidden_size': 16, 'intermediate_size': 32, 'num_hidden_layers': 1,
                       'num_attention_heads': 2, 'image_size': 64, 'patch_size': 16},
        text_config={'model_type': 'llama', 'hidden_size': 32, 'intermediate_size': 64,
                     'num_hidden_layers': 2, 'num_attention_heads': 4, 'num_key_value_heads': 2,
                     'head_dim': 8, 'vocab_size': len(vocabulary), 'pad_token_id': 1},
        scale_factor=2, image_token_id=2, pad_token_id=1).save_pretrained(folder)
    return folder


if __name__ == '__main__':
    main(sys.argv[1], Path(sys.argv[2]))
