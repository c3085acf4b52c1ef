"""Trains a small ACT of LeRobot on our demonstrations, in LeRobot's own environment.

    make lerobot
    vla collect --tasks go_to:red:box --frames 9000 --out data/red_box
    .venv-lerobot/bin/python examples/lerobot_act.py data/red_box out/act
    .venv-lerobot/bin/vla serve --lerobot out/act --embodiment lerobot_act &
    vla demo --interactive --policy openpi://localhost:8000 --embodiment lerobot_act \
        --allow-uncalibrated

ACT reads no words, so that it learns one task: each frame of the demonstrations is labelled for
several tasks, and only the labels of `--task` are shown. Whether it was asked for that task, its
trust artifact has to tell. It moves the base and the head, and says whether it is done; the arms
hold. At the end stands how well the saved checkpoint turns towards the object, on frames that it
was trained on and on others.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.policy.lerobot import declare_missing_operators
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

declare_missing_operators()
from lerobot.configs.types import FeatureType, PolicyFeature  # noqa: E402 - needs them
from lerobot.policies.act.configuration_act import ACTConfig  # noqa: E402
from lerobot.policies.act.modeling_act import ACTPolicy  # noqa: E402
from lerobot.policies.factory import make_pre_post_processors  # noqa: E402
from torchvision.ops.misc import FrozenBatchNorm2d  # noqa: E402

CHANNELS = ('base/linear_x', 'base/linear_y', 'base/angular_z', 'neck_yaw', 'neck_pitch')
"""What it moves, and after them whether it is done: config/embodiments/lerobot_act.yaml."""
JOINTS = ('neck_yaw', 'neck_pitch', 'waist_yaw')
"""What it knows of the body: where the camera looks. Legs would tell it what it is doing, which
it would go on doing whatever it saw."""
YAW_RATE = CHANNELS.index('base/angular_z')
RATE, WARM_UP, DECAY, CLIP_NORM = 3e-4, 100, 1e-4, 1.0
DONE = 0.95
"""Progress from which on a demonstration counts as done."""
SHIFT_PX, GAIN, LIFT = 2, 0.2, 0.08
HELD_OUT = 0.05
"""Share of the frames, the last ones, that are kept for the judgement."""
IMAGE, STATE, ACTION = 'observation.images.head', 'observation.state', 'action'


@dataclass(frozen=True)
class Demonstrations:
    """Frames with what was done in them.

    Attributes:
        images: uint8 [N, H, W, 3].
        states: float32 [N, J] [rad].
        actions: float32 [N, H, A], `CHANNELS` and whether the task is done.
    """

    images: Tensor
    states: Tensor
    actions: Tensor

    def __len__(self) -> int:
        return len(self.states)

    def part(self, first: int, end: int) -> Demonstrations:
        """Some of them, in the order in which they were recorded."""
        return Demonstrations(self.images[first:end], self.states[first:end],
                              self.actions[first:end])

    def to(self, device: torch.device) -> Demonstrations:
        """All of it on a device."""
        return Demonstrations(self.images.to(device), self.states.to(device),
                              self.actions.to(device))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and judge what was saved."""
    parser = argparse.ArgumentParser(description='A small ACT of LeRobot.')
    parser.add_argument('data', type=Path, nargs='+', help='directories with shards')
    parser.add_argument('output', type=Path, help='folder of the checkpoint')
    parser.add_argument('--task', default='go_to:red:box', help='(default: go_to:red:box)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--steps', type=int, default=6000)
    parser.add_argument('--minutes', type=float, default=math.inf,
                        help='end after this time; the rate falls in time for it')
    parser.add_argument('--batch', type=int, default=64)
    given = parser.parse_args(arguments)
    torch.manual_seed(0)
    whole = load(given.data, given.task)
    learnt = round(len(whole) * (1 - HELD_OUT))
    train(whole.part(0, learnt), given.output, torch.device(given.device), given.steps,
          given.minutes * 60, given.batch)
    judge(given.output, 'trained on', whole.part(0, learnt))
    judge(given.output, 'held out', whole.part(learnt, len(whole)))


def load(folders: Sequence[Path], task: str) -> Demonstrations:
    """The demonstrations of one task among all labels of some shards."""
    shards = ShardSet(find_shards(folders)['train'])
    samples, spec = shards.samples, shards.spec
    assert spec is not None
    rows = np.flatnonzero(samples.task == TASK_KEYS.index(task))
    done = np.repeat((samples.progress[rows] >= DONE)[:, None, None], spec.horizon, axis=1)
    moved = samples.actions[rows][..., [spec.channels.index(c) for c in CHANNELS]]
    states = shards.joints[samples.frame[rows]][:, [spec.joint_names.index(j) for j in JOINTS]]
    return Demonstrations(
        torch.from_numpy(shards.gather_frames(samples.frame[rows])), torch.from_numpy(states),
        torch.from_numpy(np.concatenate([moved, done], axis=2).astype(np.float32)))


def train(shown: Demonstrations, output: Path, device: torch.device, steps: int, budget_s: float,
          batch_size: int) -> None:
    """Train for some steps or so long [s], and write the checkpoint to `output`."""
    config = _config(shown)
    config.device = str(device)
    statistics = {
        IMAGE: {'mean': torch.full((3, 1, 1), 0.5), 'std': torch.full((3, 1, 1), 0.25)},
        STATE: _statistics(shown.states), ACTION: _statistics(shown.actions.flatten(0, 1))}
    before, _ = make_pre_post_processors(config, dataset_stats=statistics)
    policy = ACTPolicy(config)
    thaw(policy)
    policy.to(device).train()
    optimizer = torch.optim.AdamW(policy.parameters(), RATE, weight_decay=DECAY)
    shown, began, share, step, smooth = shown.to(device), time.monotonic(), 0.0, 0, 0.0
    while share < 1:
        for group in optimizer.param_groups:
            group['lr'] = RATE * min(1.0, (step + 1) / WARM_UP) * (
                1 + math.cos(math.pi * share)) / 2
        rows = torch.randint(len(shown), (batch_size,), device=device)
        batch = before({IMAGE: varied(shown.images[rows]), STATE: shown.states[rows],
                        ACTION: shown.actions[rows]})
        batch['action_is_pad'] = torch.zeros(batch_size, config.chunk_size, dtype=torch.bool,
                                             device=device)
        loss, _ = policy.forward(batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), CLIP_NORM)
        optimizer.step()
        step += 1
        spent_s = time.monotonic() - began
        share = max(step / steps, spent_s / budget_s)
        smooth += (loss.item() - smooth) * max(0.02, 1 / step)
        if step % 50 == 0 or share >= 1:
            print(f'step {step}, loss {smooth:.3f}, {spent_s / share * (1 - share) / 60:.1f} min '
                  'left', flush=True)
    freeze(policy.cpu())
    policy.config.device = 'cpu'
    policy.save_pretrained(output)
    for processor in make_pre_post_processors(policy.config, dataset_stats=statistics):
        processor.save_pretrained(output)


def _config(shown: Demonstrations) -> ACTConfig:
    _, height, width, _ = shown.images.shape
    _, rows, channels = shown.actions.shape
    return ACTConfig(
        input_features={IMAGE: PolicyFeature(FeatureType.VISUAL, (3, height, width)),
                        STATE: PolicyFeature(FeatureType.STATE, (shown.states.shape[1],))},
        output_features={ACTION: PolicyFeature(FeatureType.ACTION, (channels,))},
        chunk_size=rows, n_action_steps=rows, pretrained_backbone_weights=None,
        # The expert does the same in the same place: there is no style to be told apart.
        use_vae=False, dim_model=256, n_heads=8, dim_feedforward=1024, n_encoder_layers=2)


def _statistics(values: Tensor) -> dict[str, Tensor]:
    return {'mean': values.mean(0), 'std': values.std(0).clamp(min=0.05)}


def varied(images: Tensor) -> Tensor:
    """Images uint8 [B, H, W, 3] in other light and moved a little, float32 [B, 3, H, W]."""
    def draw(strength: float) -> Tensor:
        return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(
            -strength, strength)

    pixels = images.permute(0, 3, 1, 2).float() / 255
    pixels = (pixels * (1 + draw(GAIN)) + draw(LIFT)).clamp(0, 1)
    top, left = torch.randint(2 * SHIFT_PX + 1, (2,)).tolist()
    height, width = pixels.shape[-2:]
    return functional.pad(pixels, (SHIFT_PX,) * 4, mode='replicate')[
        ..., top:top + height, left:left + width]


def thaw(policy: nn.Module) -> None:
    """Let batch normalisation learn: LeRobot's is frozen, which wants pretrained weights."""
    def learning(frozen: nn.Module) -> nn.Module:
        made = nn.BatchNorm2d(len(frozen.get_buffer('weight')))
        made.load_state_dict(frozen.state_dict(), strict=False)
        return made

    _exchange(policy, FrozenBatchNorm2d, learning)


def freeze(policy: nn.Module) -> None:
    """The inverse of `thaw`, as LeRobot loads it: frozen with what was learnt."""
    def frozen(learning: nn.Module) -> nn.Module:
        made: nn.Module = FrozenBatchNorm2d(len(learning.get_parameter('weight')))
        made.load_state_dict(learning.state_dict())
        return made

    _exchange(policy, nn.BatchNorm2d, frozen)


def _exchange(module: nn.Module, kind: type[nn.Module], make: Any) -> None:
    for name, child in module.named_children():
        if isinstance(child, kind):
            setattr(module, name, make(child))
        else:
            _exchange(child, kind, make)


@torch.inference_mode()
def judge(folder: Path, which: str, shown: Demonstrations, most: int = 512) -> None:
    """Print how the yaw rate of a saved checkpoint goes with that of demonstrations."""
    policy = ACTPolicy.from_pretrained(folder, local_files_only=True).eval()
    before, after = make_pre_post_processors(policy.config, str(folder))
    found = []
    rows = torch.linspace(0, len(shown) - 1, min(most, len(shown))).long()
    for block in torch.split(rows, 64):
        chunk = policy.predict_action_chunk(before({
            IMAGE: shown.images[block].permute(0, 3, 1, 2).float() / 255,
            STATE: shown.states[block]}))
        found.append(after(chunk[:, 0]))
    told, wanted = torch.cat(found), shown.actions[rows, 0]
    yaw = torch.stack([told[:, YAW_RATE], wanted[:, YAW_RATE]])
    done = wanted[:, -1] > 0.5
    says = told[:, -1] > 0.5
    print(f'{which}: yaw rate with a spread of {yaw[0].std():.3f} rad/s, of the demonstrations '
          f'{yaw[1].std():.3f}; correlation {torch.corrcoef(yaw)[0, 1]:.3f}; done is said in '
          f'{says[done].float().mean():.0%} where it is, and in {says[~done].float().mean():.0%} '
          'where it is not', flush=True)


if __name__ == '__main__':
    main()
