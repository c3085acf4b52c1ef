"""The default Vision-Language-Action model, assembled from named parts.

    words [B, L, 384] ─► language ─► instruction [B, D] ─┬──────────────► InstructionHead
                             │                           │ FiLM, query
    image [F, 3, H, W] ─► vision ◄───────────────────────┤
                             │ tokens [B, h * w, D]      │
                             ├────► LanguageQuery ◄──────┘ ─► Grounding ─► TargetHead
                             │            │ token
    joints, time ─► proprioception        │
                             │            ▼
                             └──────► fusion ─► queries [B, H + 2, D] ─┬─► ActionHead   [B, H, A]
                                                                       ├─► ProgressHead [B]
    evidence (all of it, detached) ────────────────────────────────────┴─► ConfidenceHead [B]
    words ─► scope classifier ─► InstructionHead: the same question, put to an encoder of its own

Several instructions may look at one frame: the frame is then encoded once (`ModelInput.frame`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vla_humanoid_control.models.config import ModelConfig
from vla_humanoid_control.models.encoders import TEXT_WIDTH
from vla_humanoid_control.models.fusion import Grounding, LanguageQuery
from vla_humanoid_control.models.heads import (
    INSTRUCTION_SLOTS,
    ActionHead,
    ConfidenceHead,
    InstructionHead,
    ProgressHead,
    TargetHead,
)
from vla_humanoid_control.models.novelty import Novelty
from vla_humanoid_control.models.registry import build
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

_BEYOND = 6.0
"""So much more log odds of being beyond the robot move an instruction e times as far away."""


@dataclass(frozen=True)
class ModelInput:
    """A batch, normalised by `models/transforms.py`.

    Attributes:
        images: float32 [F, 3, H, W], about -1 to 1.
        frame: int64 [B], the frame that each row looks at.
        joints: float32 [B, J], normalised.
        time: float32 [B, T], see `encoders.time_features`.
        words: float32 [B, L, 384], token features of the instruction.
        mask: bool [B, L], which tokens exist.
    """

    images: Tensor
    frame: Tensor
    joints: Tensor
    time: Tensor
    words: Tensor
    mask: Tensor


@dataclass(frozen=True)
class ModelOutput:
    """Raw outputs of every head but confidence, and what the confidence head needs.

    Attributes:
        actions: [B, H, A], normalised.
        progress: [B], logits.
        grounding: Where the target is.
        instruction: [B, S], logits of what is asked for.
        evidence: [B, E], detached, for the confidence head.
        features: [B, F], image features (2 D), instruction features (D) and the out-of-scope
            logit of the scope classifier (1), detached, for the out-of-distribution check.
    """

    actions: Tensor
    progress: Tensor
    grounding: Grounding
    instruction: Tensor
    evidence: Tensor
    features: Tensor


class VlaModel(nn.Module):
    """See the diagram at the top of this module."""

    def __init__(self, config: ModelConfig, image_size: tuple[int, int], joints: int,
                 horizon: int, channels: int) -> None:
        """Build it with random weights.

        Args:
            config: Sizes and parts.
            image_size: Width and height, multiples of 8 [px].
            joints: Number of joint positions, J.
            horizon: Rows of an action chunk, H.
            channels: Action channels, A.
        """
        super().__init__()
        width = config.width
        self.horizon = horizon
        self.vision = build('vision', config.vision, width=width, condition=width,
                            image_size=image_size)
        self.language = build('language', config.language, width=width, heads=config.heads)
        self.proprioception = build('proprioception', config.proprioception, width=width,
                                    joints=joints)
        self.query = LanguageQuery(width, self.vision.grid)
        self.fusion = build('fusion', config.fusion, width=width, heads=config.heads,
                            queries=horizon + 2)
        self.action_head = ActionHead(width, config.heads_hidden, channels)
        self.progress_head = ProgressHead(width, config.heads_hidden)
        self.target_head = TargetHead(self.vision.grid)
        self.instruction_head = InstructionHead(width)
        # The scope classifier: a language encoder and a head of its own, trained in the
        # confidence stage, so that more requests out of scope can be taught without training the
        # policy anew. Attribute names are the keys of checkpoints, and keep their first form.
        self.scope = build('language', config.language, width=width, heads=config.heads)
        self.scope_head = InstructionHead(width)
        self.image_novelty = Novelty(2 * width)
        self.instruction_novelty = Novelty(width, len(TASK_KEYS))
        evidence = 9 * width + TEXT_WIDTH + len(INSTRUCTION_SLOTS) + 1 + 8
        self.confidence_head = ConfidenceHead(evidence, config.heads_hidden)

    def forward(self, inputs: ModelInput) -> ModelOutput:
        """One pass over a batch; see `ModelOutput`."""
        instruction, words = self.language(inputs.words, inputs.mask)
        image = self.vision(inputs.images, inputs.frame, instruction)
        grounding = self.query(image.tokens, instruction)
        body = self.proprioception(inputs.joints, inputs.time)
        queries = self.fusion(image.tokens, words, inputs.mask, body, grounding.token,
                              instruction)  # [B, H + 2, D]
        actions = self.action_head(queries[:, :self.horizon])
        progress = self.progress_head(queries[:, self.horizon])
        said = self.instruction_head(instruction)
        with torch.no_grad():
            known = torch.cat([image.pooled, instruction], dim=1).float()
            beyond = self.scope_head.beyond(self.scope_logits(inputs.words, inputs.mask))
            features = torch.cat([known, beyond[:, None]], dim=1)
            evidence = self._evidence(inputs, known, image.tokens, queries, body, grounding,
                                      said, progress, actions)
        return ModelOutput(actions, progress, grounding, said, evidence, features)

    def channels_last(self) -> VlaModel:
        """Lay convolutions out with channels last, which is faster on a CPU; returns itself."""
        for parameter in self.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        return self

    def instruction_logits(self, words: Tensor, mask: Tensor) -> Tensor:
        """What some texts ask for, without an image: [B, S]."""
        instruction, _ = self.language(words, mask)
        return self.instruction_head(instruction)

    def scope_logits(self, words: Tensor, mask: Tensor) -> Tensor:
        """What some texts ask for, by the scope classifier: [B, S]."""
        return self.scope_head(self.scope(words, mask)[0])

    def confidence(self, output: ModelOutput) -> Tensor:
        """Success logits [B]; gradients reach the confidence head alone."""
        return self.confidence_head(output.evidence)

    def novelty(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """How far image and instruction lie from what training knew, [B] each.

        The distance of the instruction grows with its out-of-scope logits, because 'pick up the
        red box' lies near to 'go to the red box' in feature space. The logits of the policy's own
        instruction head and of the scope classifier are added: they seldom err together.

        Args:
            features: [B, F], see `ModelOutput.features`.
        """
        split = len(self.image_novelty.centres[0])
        instruction = features[:, split:-1]
        head = self.instruction_head
        beyond = head.beyond(head(instruction)) + features[:, -1]
        distance = self.instruction_novelty(instruction) * (beyond / _BEYOND).exp()
        return self.image_novelty(features[:, :split]), distance

    def _evidence(self, inputs: ModelInput, features: Tensor, tokens: Tensor, queries: Tensor,
                  body: Tensor, grounding: Grounding, said: Tensor, progress: Tensor,
                  actions: Tensor) -> Tensor:
        """Everything that may tell success from failure, [B, E]."""
        weight = inputs.mask[..., None].float()
        sentence = (inputs.words * weight).sum(1) / weight.sum(1).clamp(min=1)  # [B, 384]
        log_weights = grounding.logits.log_softmax(1)
        entropy = -(log_weights.exp() * log_weights).sum(1)
        scalars = torch.stack([
            entropy, log_weights[:, :-1].amax(1), log_weights[:, -1], grounding.logits.amax(1),
            grounding.log_distance, progress, actions[:, 0].abs().amax(1),
            actions.diff(dim=1).abs().amax((1, 2))], dim=1)  # [B, 8]
        parts = [features, tokens.mean(1), queries.mean(1), queries[:, self.horizon + 1],
                 body.flatten(1), grounding.token, sentence,
                 self.instruction_head.certainty(said), scalars]
        return torch.cat([p.float() for p in parts], dim=1).detach()
