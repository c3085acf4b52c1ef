"""ACT as LeRobot 0.4.4 saves it: https://github.com/huggingface/lerobot, `policies/act`.

    model.backbone                    the image part, whose norms are scales and shifts
    model.vae_encoder*                posterior
    model.encoder_*_proj, *_embed     style, inputs, places
    model.encoder, decoder            encoder, decoder: attention in one matrix of three
    model.action_head                 action
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from vla_humanoid_control.models.system import System

_EPSILON = 1e-5
"""Of the frozen batch norms of torchvision."""
_MODULES = {
    'vae_encoder_cls_embed': 'posterior.first',
    'vae_encoder_robot_state_input_proj': 'posterior.state',
    'vae_encoder_action_input_proj': 'posterior.actions',
    'vae_encoder_latent_output_proj': 'posterior.output',
    'encoder_latent_input_proj': 'style',
    'encoder_robot_state_input_proj': 'inputs.1',
    'encoder_img_feat_input_proj': 'inputs.0',
    'encoder_1d_feature_pos_embed': 'places',
    'decoder_pos_embed': 'decoder.queries',
    'decoder.norm': 'decoder.norm',
    'action_head': 'action',
}
_STACKS = {'vae_encoder': 'posterior.layers', 'encoder': 'encoder', 'decoder': 'decoder.layers'}
_IN_A_LAYER = {'self_attn': 'attention', 'multihead_attn': 'cross', 'linear1': 'feed.0',
               'linear2': 'feed.3', 'norm1': 'norms.0', 'norm2': 'norms.1', 'norm3': 'norms.2'}
_OF_A_NORM = ('weight', 'bias', 'running_mean', 'running_var')


def renamed(state: Mapping[str, Tensor], system: System) -> dict[str, Tensor]:
    """See the head of this module. Raises KeyError where a tensor is missing."""
    head = _head(system)
    eyes = system.config.parts[head].of[0]
    return {f'{eyes}.network.{n}': t for n, t in _eyes(state)} | {
        f'{head}.{n}': t for n, t in _transformer(state)}


def of_the_robot(system: System) -> tuple[str, ...]:
    """Beginnings of names whose shape depends on joints and actions."""
    head = _head(system)
    return tuple(f'{head}.{n}.' for n in (
        'posterior.state', 'posterior.actions', 'inputs.1', 'decoder.queries', 'action'))


def _head(system: System) -> str:
    found = system.head('action')
    assert found is not None
    return found[0]


def _eyes(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Torchvision's ResNet to that of `transformers`; a frozen norm is a scale and a shift."""
    for name, value in state.items():
        if not name.startswith('model.backbone.'):
            continue
        module, _, kind = name.removeprefix('model.backbone.').rpartition('.')
        if kind == 'weight' and value.ndim == 4:
            yield f'{_place(module)}.convolution.weight', value
        elif kind == 'running_mean':
            weight, bias, mean, variance = (
                state[f'model.backbone.{module}.{part}'].float() for part in _OF_A_NORM)
            scale = weight / (variance + _EPSILON).sqrt()
            yield f'{_place(module)}.normalization.scale', scale[:, None, None]
            yield f'{_place(module)}.normalization.shift', (bias - mean * scale)[:, None, None]


def _place(module: str) -> str:
    """'layer2.0.conv1', 'layer2.0.bn1', 'layer2.0.downsample.0' to the block that they are in."""
    stem = re.fullmatch(r'(conv|bn)1', module)
    if stem:
        return 'embedder.embedder'
    stage, block, what, *_ = module.split('.')
    place = f'encoder.stages.{int(stage.removeprefix("layer")) - 1}.layers.{block}'
    return f'{place}.shortcut' if what == 'downsample' else f'{place}.layer.{int(what[-1]) - 1}'


def _transformer(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for module, ours in _MODULES.items():
        for kind in ('weight', 'bias'):
            # Embeddings have no bias.
            if kind == 'weight' or f'model.{module}.bias' in state:
                value = state[f'model.{module}.{kind}']
                yield f'{ours}.{kind}', value.flatten(1) if value.ndim == 4 else value
    for name, value in state.items():
        found = re.fullmatch(r'model\.(\w+)\.layers\.(\d+)\.(\w+)\.(.+)', name)
        if found is None or found[1] not in _STACKS:
            continue
        layer = f'{_STACKS[found[1]]}.{found[2]}.{_IN_A_LAYER[found[3]]}'
        if found[4].startswith('in_proj_'):
            for part, one in zip(('query', 'key', 'value'), value.chunk(3)):
                yield f'{layer}.{part}.{found[4].removeprefix("in_proj_")}', one
        else:
            yield f'{layer}.{found[4].replace("out_proj", "out")}', torch.as_tensor(value)
