"""Trains a small ACT of LeRobot on our demonstrations, in LeRobot's own environment.

    make lerobot
    vla collect --tasks go_to:red:box --frames 9000 --out data/red_box
    .venv-lerobot/bin/python examples/lerobot_act.py data/red_box out/act
    .venv-lerobot/bin/vla serve --lerobot out/act --embodiment lerobot_act &
    vla demo --interactive --policy openpi://localhost:8000 --embodiment lerobot_act \
        --allow-uncalibrated

It shows the way from demonstrations to a served checkpoint. So few steps from random weights teach
it no more than how the robot moves on average: to walk to the red box it needs many more. ACT
reads no words: whether it was asked for that, its trust artifact has to tell.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.policy.lerobot import declare_missing_operators

declare_missing_operators()
from lerobot.configs.types import FeatureType, PolicyFeature  # noqa: E402 - needs them
from lerobot.policies.act.configuration_act import ACTConfig  # noqa: E402
from lerobot.policies.act.modeling_act import ACTPolicy  # noqa: E402
from lerobot.policies.factory import make_pre_post_processors  # noqa: E402

STEPS, BATCH, RATE = 2500, 16, 3e-4
DONE = 0.95
"""Progress from which on a demonstration counts as done."""
IMAGE, STATE, ACTION = 'observation.images.head', 'observation.state', 'action'


def train(data: Path, output: Path, steps: int) -> None:
    """Train on all shards below `data`, and write the checkpoint to `output`."""
    shards = ShardSet(find_shards([data])['train'])
    samples, spec = shards.samples, shards.spec
    assert spec is not None
    done = (samples.progress >= DONE).astype(np.float32)
    actions = np.concatenate([samples.actions, np.repeat(
        done[:, None, None], spec.horizon, axis=1)], axis=2)
    states = shards.joints[samples.frame]
    width, height = spec.image_size
    config = ACTConfig(
        input_features={IMAGE: PolicyFeature(FeatureType.VISUAL, (3, height, width)),
                        STATE: PolicyFeature(FeatureType.STATE, (states.shape[1],))},
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (actions.shape[2],))},
        chunk_size=spec.horizon, n_action_steps=spec.horizon, pretrained_backbone_weights=None,
        dim_model=128, n_heads=4, dim_feedforward=512, n_encoder_layers=2, n_vae_encoder_layers=2,
        latent_dim=16, device='cpu')
    policy = ACTPolicy(config).train()
    _calibrate(policy, torch.from_numpy(shards.gather_frames(np.linspace(
        0, len(shards.joints) - 1, 128).astype(int))).permute(0, 3, 1, 2).float() / 127.5 - 1)
    before, after = make_pre_post_processors(config, dataset_stats={
        IMAGE: {'mean': torch.full((3, 1, 1), 0.5), 'std': torch.full((3, 1, 1), 0.25)},
        STATE: _statistics(states, 0.05), ACTION: _statistics(actions.reshape(
            -1, actions.shape[2]), 0.05)})
    optimizer = torch.optim.AdamW(policy.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    rng, began = np.random.default_rng(0), time.monotonic()
    for step in range(1, steps + 1):
        rows = rng.integers(0, len(samples), BATCH)
        images = torch.from_numpy(shards.gather_frames(samples.frame[rows])).permute(0, 3, 1, 2)
        bright = torch.empty(BATCH, 1, 1, 1).uniform_(0.8, 1.2)
        batch = before({IMAGE: (images.float() / 255 * bright).clamp(0, 1),
                        STATE: torch.from_numpy(states[rows]),
                        ACTION: torch.from_numpy(actions[rows])})
        batch['action_is_pad'] = torch.zeros(BATCH, spec.horizon, dtype=torch.bool)
        loss, _ = policy.forward(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            left_s = (time.monotonic() - began) / step * (steps - step)
            print(f'step {step} of {steps}, loss {loss.item():.3f}, {left_s / 60:.0f} min left',
                  flush=True)
    policy.save_pretrained(output)
    before.save_pretrained(output)
    after.save_pretrained(output)


def _calibrate(policy: ACTPolicy, images: torch.Tensor) -> None:
    """Give the frozen normalisation of its backbone the statistics of these images.

    With pretrained weights it has those of ImageNet. From nothing it has none, and all images
    would look alike.
    """
    def measure(layer: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        layer.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        layer.running_var.copy_(inputs[0].var((0, 2, 3)))

    layers = [m for m in policy.modules() if type(m).__name__ == 'FrozenBatchNorm2d']
    hooks = [layer.register_forward_pre_hook(measure) for layer in layers]
    with torch.no_grad():
        policy.model.backbone(images)
    for hook in hooks:
        hook.remove()


def _statistics(values: np.ndarray, least: float) -> dict[str, torch.Tensor]:
    return {'mean': torch.from_numpy(values.mean(axis=0).astype(np.float32)),
            'std': torch.from_numpy(np.maximum(values.std(axis=0), least).astype(np.float32))}


if __name__ == '__main__':
    train(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else STEPS)
