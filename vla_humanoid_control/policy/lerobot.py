"""A LeRobot checkpoint folder as a policy: ACT, SmolVLA and what else LeRobot trains.

LeRobot wants other versions of torch and transformers than this package, so that it has an
environment of its own, from which `vla serve --lerobot FOLDER` serves the policy to the graph.
A mapping file says which joints its numbers are: a checkpoint knows only how many.
"""

from __future__ import annotations

import json
import sys
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from vla_humanoid_control.interfaces import ActionChunk, Observation, PolicySpec, Prompt
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import docs_path

TASK = 'task'
"""Under which name LeRobot's policies are given their instruction."""


def is_lerobot_folder(folder: Path) -> bool:
    """Whether it is a checkpoint of LeRobot, by its `config.json`."""
    try:
        config = json.loads((folder / 'config.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and 'type' in config and 'input_features' in config


class LeRobotPolicy:
    """Runs a checkpoint in process, on the CPU or where its configuration says.

    Args:
        folder: With `config.json`, `model.safetensors`, and its pre- and postprocessor.
        spec: What it sees and gives: roles and states are the names of its input features.

    Raises:
        UserError: LeRobot is not installed here, the checkpoint cannot be read, or `spec` does not
            fit it.
    """

    def __init__(self, folder: Path, spec: PolicySpec) -> None:
        self.spec = spec
        try:
            declare_missing_operators()
            from lerobot.configs.policies import PreTrainedConfig
            from lerobot.policies.factory import get_policy_class, make_pre_post_processors
        except ImportError as error:
            raise UserError(f'{folder} is a checkpoint of LeRobot, which cannot be imported here '
                            f'({error}). Serve it from an environment that has it: vla serve '
                            f'--lerobot {folder}. {docs_path("policies.md")} says how.') from error
        try:
            config = PreTrainedConfig.from_pretrained(folder, local_files_only=True)
            config.device = 'cpu' if config.device is None else config.device
            _check(spec, config)
            self._policy = get_policy_class(config.type).from_pretrained(
                folder, config=config, local_files_only=True).eval()
            self._before, self._after = make_pre_post_processors(config, str(folder))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UserError(f'LeRobot checkpoint {folder} cannot be loaded ({error}). Copy or '
                            'train it again with the version of LeRobot that is installed here.'
                            ) from error
        self._text = ''

    def reset(self, prompt: Prompt) -> None:
        """Begin a new instruction."""
        self._text = prompt.text
        self._policy.reset()

    def infer(self, observation: Observation) -> ActionChunk:
        """The first rows of one chunk, as many as `spec` says."""
        import torch
        batch: dict[str, Any] = {TASK: [self._text]}
        for role, images in observation.images.items():
            batch[role] = torch.from_numpy(images[-1].copy()).permute(2, 0, 1)[None].float() / 255
        for name, state in observation.state.items():
            batch[name] = torch.from_numpy(state[-1:].astype(np.float32))
        with torch.inference_mode():
            chunk = self._policy.predict_action_chunk(self._before(batch))  # [1, C, D]
            rows = [self._after(chunk[:, i]) for i in range(self.spec.actions.horizon)]
        return ActionChunk(torch.cat(rows).float().cpu().numpy())

    def fork(self) -> LeRobotPolicy:
        """Another robot's: the same weights, with an instruction and memories of its own."""
        forked = copy(self)
        forked._policy = copy(self._policy)
        forked.reset(Prompt(''))
        return forked

    def close(self) -> None:
        """Nothing is held but memory."""


def _check(spec: PolicySpec, config: Any) -> None:
    """Refuse a mapping file that is another checkpoint's."""
    wanted = {name: tuple(feature.shape) for name, feature in config.input_features.items()}
    given: dict[str, tuple[int, ...]] = {i.role: (3, i.size[1], i.size[0]) for i in spec.images}
    given |= {s.name: (len(s.channels),) for s in spec.states}
    (action,) = (tuple(f.shape) for f in config.output_features.values())
    problems = [f'{name} is {wanted.get(name, "not there")}, the mapping file says '
                f'{given.get(name, "nothing of it")}'
                for name in sorted(wanted.keys() | given.keys())
                if wanted.get(name) != given.get(name)]
    if action != (len(spec.actions.channels),):
        problems.append(f'actions have {action[0]} channels, the mapping file names '
                        f'{len(spec.actions.channels)}')
    rows: Any = getattr(config, 'chunk_size', None) or getattr(config, 'horizon', 1)
    if spec.actions.horizon > rows:
        problems.append(f'a chunk has {rows} rows, the mapping file says {spec.actions.horizon}')
    if problems:
        raise UserError(f'The checkpoint does not fit its mapping file: {"; ".join(problems)}.')


def declare_missing_operators() -> None:
    """Let torchvision be imported where its compiled part does not fit torch; no policy needs it.

    Its Python part refuses to be imported unless the operators that it wraps are declared.
    """
    from torch.library import Library
    try:
        import torchvision  # noqa: F401 - whether it can be
    except (RuntimeError, AttributeError):
        for name in [n for n in sys.modules if n.partition('.')[0] == 'torchvision']:
            del sys.modules[name]  # half of it is there
        library = Library('torchvision', 'DEF')
        library.define('nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
        library.define('roi_align(Tensor input, Tensor rois, float spatial_scale, int '
                       'pooled_height, int pooled_width, int sampling_ratio, bool aligned) -> '
                       'Tensor')
        _LIBRARIES.append(library)


_LIBRARIES: list[Any] = []  # an operator is gone when its library is
