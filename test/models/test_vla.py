"""The model, for every part that the registry names and every configuration that ships."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_humanoid_control.models.config import ModelConfig, load_model_config
from vla_humanoid_control.models.fusion import Grounding
from vla_humanoid_control.models.heads import (
    INSTRUCTION_SLOTS,
    ProgressHead,
    TargetHead,
    instruction_labels,
)
from vla_humanoid_control.models.vla import ModelInput, VlaModel
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.support.resources import config_path
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

CONFIGS = sorted(p.stem for p in config_path('models').glob('*.yaml'))


def some_input(frames: int, rows: int, seed: int = 0) -> ModelInput:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    mask = torch.arange(9) < torch.randint(1, 10, (rows, 1), generator=generator)
    return ModelInput(noise(frames, 3, 96, 128), torch.arange(rows) % frames, noise(rows, 31),
                      noise(rows, 16), noise(rows, 9, 384) * mask[..., None], mask)


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> VlaModel:
    torch.manual_seed(0)
    return VlaModel(load_model_config(request.param), (128, 96), 31, 8, 22).eval()


def test_shapes_and_size(model: VlaModel) -> None:
    output = model(some_input(2, 3))
    assert output.actions.shape == (3, 8, 22)
    assert output.progress.shape == (3,)
    assert output.grounding.logits.shape == (3, 12 * 16 + 1)
    assert model.confidence(output).shape == (3,)
    assert sum(p.numel() for p in model.parameters()) * 4 < 25e6


def test_a_row_depends_on_its_own_frame_and_words_alone(model: VlaModel) -> None:
    inputs = some_input(2, 4)
    together = model(inputs)
    alone = model(ModelInput(inputs.images[1:], torch.zeros(1, dtype=torch.long),
                             inputs.joints[3:], inputs.time[3:], inputs.words[3:],
                             inputs.mask[3:]))
    torch.testing.assert_close(together.actions[3:], alone.actions, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.evidence[3:], alone.evidence, atol=1e-3, rtol=1e-3)


def test_padding_of_words_changes_nothing(model: VlaModel) -> None:
    inputs = some_input(1, 2)
    padded = replace(inputs, words=torch.nn.functional.pad(inputs.words, (0, 0, 0, 7)),
                     mask=torch.nn.functional.pad(inputs.mask, (0, 7)))
    torch.testing.assert_close(model(inputs).actions, model(padded).actions, atol=1e-5, rtol=1e-4)


def test_image_features_ignore_the_words_and_instruction_features_the_image(model: VlaModel
                                                                            ) -> None:
    inputs, other = some_input(1, 1), some_input(1, 1, seed=1)
    with torch.no_grad():
        plain = model(inputs).features
        reworded = model(replace(inputs, words=other.words, mask=other.mask)).features
        elsewhere = model(replace(inputs, images=other.images)).features
    width = plain.shape[1] // 3
    image, words = slice(0, 2 * width), slice(2 * width, 3 * width)
    torch.testing.assert_close(plain[:, image], reworded[:, image], atol=1e-5, rtol=0)
    torch.testing.assert_close(plain[:, words], elsewhere[:, words], atol=1e-5, rtol=0)
    assert (plain[:, words] - reworded[:, words]).abs().max() > 1e-3
    assert (plain[:, image] - elsewhere[:, image]).abs().max() > 1e-3


def test_the_confidence_loss_reaches_the_confidence_head_alone(model: VlaModel) -> None:
    output = model(some_input(1, 2))
    model.confidence_head.loss(model.confidence(output), torch.tensor([0.0, 1.0])).sum().backward()
    touched = {n.split('.')[0] for n, p in model.named_parameters()
               if p.grad is not None and p.grad.abs().max() > 0}
    assert touched == {'confidence_head'}


def test_every_answer_of_every_head_is_finite_on_extreme_input(model: VlaModel) -> None:
    inputs = some_input(1, 1)
    bright = torch.ones_like(inputs.images)
    output = model(replace(inputs, images=bright, joints=inputs.joints * 5))
    for value in (output.actions, output.progress, output.evidence, output.grounding.position):
        assert torch.isfinite(value).all()


def grounding(logits: torch.Tensor, position: torch.Tensor) -> Grounding:
    return Grounding(logits, position, torch.zeros(len(logits)), torch.zeros(len(logits), 4))


def test_the_target_loss_prefers_the_right_cell_and_ignores_rows_without_target() -> None:
    head = TargetHead((12, 16))
    target = torch.tensor([[1.0, -0.95, -0.95, 1.0], [0.0, np.nan, np.nan, np.nan], [np.nan] * 4])
    right, wrong = torch.zeros(3, 193), torch.zeros(3, 193)
    right[0, 0], right[1, 192] = 9, 9
    wrong[0, 100], wrong[1, 0] = 9, 9
    place = target[:, 1:3].nan_to_num()
    good, bad = head.loss(grounding(right, place), target), head.loss(grounding(wrong, -place),
                                                                      target)
    assert (good[:2] < bad[:2] - 1).all()
    assert good[2] == bad[2] == 0
    found = head.predict(grounding(right, place))
    assert found.visible[0] > 0.9 and found.visible[1] < 0.1


def test_the_progress_loss_is_zero_at_its_label() -> None:
    label = torch.tensor([0.25, 0.5, 0.9])
    value = ProgressHead.loss(torch.logit(label), label)
    torch.testing.assert_close(value, torch.zeros(3), atol=1e-6, rtol=0)
    assert (ProgressHead.loss(torch.logit(label) + 1, label) > 0.01).all()
    # Labels of exactly 0 and 1, as every episode has them.
    assert torch.isfinite(ProgressHead.loss(torch.tensor([3.0, -3.0]),
                                            torch.tensor([1.0, 0.0]))).all()


def test_labels_tell_all_tasks_apart() -> None:
    labels = {tuple(instruction_labels(k)) for k in (*TASK_KEYS, None)}
    assert len(labels) == len(TASK_KEYS) + 1
    assert instruction_labels('go_to:green:cup') == [3, -1, -1, -1, 1, 2]
    assert INSTRUCTION_SLOTS[0][0] == 'family'


def with_part(**changes: object) -> dict[str, object]:
    return {**load_model_config('default').to_dict(), **changes}


@pytest.mark.parametrize(('data', 'words'), [
    (with_part(depth=3), 'unknown'),
    ({'width': 128}, 'missing'),
    (with_part(vision={'stem': [8, 8]}), 'needs a name'),
])
def test_a_wrong_configuration_is_refused(data: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ModelConfig.from_dict(data, 'here.yaml')


@pytest.mark.parametrize(('vision', 'words'), [
    ({'name': 'eagle'}, 'eagle.*film_conv'),
    ({'name': 'film_conv', 'colour': 1}, 'does not take'),
])
def test_an_unknown_part_is_refused(vision: dict[str, object], words: str) -> None:
    config = ModelConfig.from_dict(with_part(vision=vision), 'here.yaml')
    with pytest.raises(UserError, match=words):
        VlaModel(config, (128, 96), 31, 8, 22)


def test_a_missing_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='nowhere'):
        load_model_config(str(tmp_path / 'nowhere.yaml'))
