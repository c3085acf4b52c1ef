"""Parts by the names that model configurations use. A new part is one more line here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from vla_humanoid_control.models.parts.part import Head, Part, Shapes
from vla_humanoid_control.models.streams import Space
from vla_humanoid_control.support.errors import UserError, with_nearest

PARTS: Mapping[str, str] = {
    # vision
    'film_conv': 'vision.film_conv:FilmConvEncoder',
    'resnet': 'vision.resnet:ResNet',
    'resnet_frozen_norm': 'vision.resnet_frozen_norm:FrozenNormResNet',
    'small_stem': 'vision.small_stem:SmallStem',
    'film_efficientnet': 'vision.efficientnet:FilmEfficientNet',
    'token_learner': 'vision.token_learner:TokenLearner',
    'separable_conv': 'vision.separable_conv:SeparableConv',
    'keypoints': 'vision.keypoints:Keypoints',
    'vit': 'vision.vit:Vit',
    'clip_vision': 'vision.vit:ClipVision',
    'siglip': 'vision.vit:Siglip',
    'dinov2': 'vision.vit:Dinov2',
    'dinov2_registers': 'vision.vit:Dinov2Registers',
    'projector': 'vision.projector:Projector',
    'clip_resnet': 'vision.clip_resnet:ClipResNet',
    'cameras': 'vision.cameras:Cameras',
    'object_tokens': 'vision.objects:ObjectTokens',
    # language
    'slots': 'language.slots:SlotLanguageEncoder',
    'word_average': 'language.words:WordAverage',
    'bert': 'language.text:Bert',
    't5': 'language.text:T5',
    'gpt2': 'language.causal:Gpt2',
    'llama': 'language.causal:Llama',
    'gemma': 'language.causal:Gemma',
    'sentence': 'language.sentence:Sentence',
    'task': 'language.task:TaskEmbedding',
    'clip_text': 'language.clip:ClipText',
    'multimodal_prompt': 'language.multimodal:MultimodalPrompt',
    # state
    'body': 'state.body:Body',
    # fusion
    'smolvlm': 'fusion.smolvlm:SmolVlm',
    'blockwise': 'fusion.blockwise:BlockwiseTransformer',
    'grounding': 'fusion.grounding:LanguageQuery',
    'query_fusion': 'fusion.query:QueryFusion',
    'mlp': 'fusion.mlp:ConcatenatedMlp',
    'experts': 'fusion.experts:Experts',
    'adapters': 'fusion.experts:Adapters',
    'cross_attention': 'fusion.cross_attention:CrossAttention',
    'mixer': 'fusion.mixer:Mixer',
    'flamingo': 'fusion.flamingo:Flamingo',
    'resampler': 'fusion.resampler:PerceiverResampler',
    'cross_gpt': 'fusion.cross_gpt:CrossGpt',
    # history
    'frame_decoder': 'temporal.decoder:FrameDecoder',
    'temporal_transformer': 'temporal.history:TemporalTransformer',
    'recurrent': 'temporal.recurrent:Recurrent',
    # what tells success from failure
    'evidence': 'trust.evidence:Evidence',
    'novelty': 'trust.novelty:Novelty',
    'request_novelty': 'trust.novelty:RequestNovelty',
}
"""Name to module, below this package, and class."""
HEADS: Mapping[str, str] = {
    'regression': 'heads.regression:ActionHead',
    'bins': 'heads.bins:BinsHead',
    'pose': 'heads.pose:PoseHead',
    'cvae': 'heads.cvae:CvaeHead',
    'flow': 'heads.flow:FlowHead',
    'diffusion': 'heads.diffusion:DiffusionHead',
    'discrete': 'heads.discrete:DiscreteHead',
    'action_tokens': 'heads.tokens:ActionTokens',
    'arm_gripper': 'heads.arm_gripper:ArmGripperHead',
    'contrastive': 'heads.contrastive:ContrastiveHead',
    'progress': 'heads.progress:ProgressHead',
    'terminate': 'heads.tokens:Terminate',
    'answer': 'heads.answer:Answer',
    'target': 'heads.target:TargetHead',
    'intent': 'heads.intent:InstructionHead',
    'confidence': 'heads.confidence:ConfidenceHead',
    'success': 'heads.confidence:SuccessHead',
}
"""The same of heads."""


def part_class(name: str, where: str, heads: bool = False) -> type[Part]:
    """The class of a part, or of a head; UserError where there is none of that name."""
    table = HEADS if heads else PARTS
    if name not in table:
        kind = 'head' if heads else 'part'
        raise UserError(f'{where}: there is no {kind} {with_nearest(name, table)}. There is '
                        f'{", ".join(sorted(table))}.')
    module, _, attribute = table[name].partition(':')
    found: type[Part] = getattr(import_module(f'{__name__}.{module}'), attribute)
    assert issubclass(found, Head if heads else Part)
    return found


def build(kind: type[Part], space: Space, of: Shapes, settings: Mapping[str, Any], where: str
          ) -> Part:
    """Build a part.

    Args:
        kind: Its class.
        space: What the model is made for.
        of: Shapes of the streams that it is built on.
        settings: Its own.
        where: Its place in the configuration, for errors.

    Raises:
        UserError: It does not take these settings or streams.
    """
    known = {name: p for name, p in inspect.signature(kind).parameters.items()
             if p.kind is inspect.Parameter.KEYWORD_ONLY}
    for name in settings:
        if name not in known:
            raise UserError(f'{where} has no setting {with_nearest(name, known)}. It takes '
                            f'{", ".join(known) or "none"}.')
    if missing := [n for n, p in known.items() if p.default is p.empty and n not in settings]:
        raise UserError(f'{where} needs {", ".join(missing)}.')
    try:
        return kind(space, of, **settings)
    except (TypeError, ValueError, IndexError, AttributeError, KeyError) as error:
        raise UserError(f'{where} cannot be built with these settings and streams: {error}'
                        ) from error
