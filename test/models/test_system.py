"""The default model, and what no model may be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vla_humanoid_control.models.config import ModelConfig, load_model_config
from vla_humanoid_control.models.parts.fusion.grounding import Grounding
from vla_humanoid_control.models.parts.heads.intent import INSTRUCTION_SLOTS, instruction_labels
from vla_humanoid_control.models.parts.heads.progress import ProgressHead
from vla_humanoid_control.models.parts.heads.target import TargetHead
from vla_humanoid_control.models.parts.part import Head
from vla_humanoid_control.models.streams import Inputs, Shape, Space, Targets, Tokens
from vla_humanoid_control.models.system import System
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS

SPACE = Space({'head': (128, 96)}, 31, 22, 8)


def some_input(frames: int, rows: int, seed: int = 0) -> Inputs:
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    mask = torch.arange(9) < torch.randint(1, 10, (rows, 1), generator=generator)
    return Inputs({'head': noise(frames, 1, 3, 96, 128)}, torch.arange(rows) % frames,
                  noise(rows, 31), noise(rows, 16),
                  Tokens(noise(rows, 9, 384) * mask[..., None], mask))


@pytest.fixture(scope='module')
def model() -> System:
    torch.manual_seed(0)
    return System(load_model_config('default'), SPACE).eval()


def test_shapes(model: System) -> None:
    streams = model(some_input(2, 3))
    assert streams['action_head'].shape == (3, 8, 22)
    assert streams['progress_head'].shape == streams['confidence_head'].shape == (3,)
    assert streams['query'].logits.shape == (3, 12 * 16 + 1)
    assert streams['image_novelty'].shape == streams['instruction_novelty'].shape == (3,)


def test_a_row_depends_on_its_own_frame_and_words_alone(model: System) -> None:
    inputs = some_input(2, 4)
    together = model(inputs)
    assert inputs.joints is not None and inputs.time is not None and inputs.words is not None
    alone = model(Inputs({'head': inputs.images['head'][1:]}, torch.zeros(1, dtype=torch.long),
                         inputs.joints[3:], inputs.time[3:],
                         Tokens(inputs.words.values[3:], inputs.words.exists[3:])))
    for name, error in (('action_head', 1e-4), ('evidence', 1e-3)):
        got, expected = (s[name] if name != 'evidence' else s[name].vector
                         for s in (together, alone))
        torch.testing.assert_close(got[3:], expected, atol=error, rtol=error)


def test_padding_of_words_changes_nothing(model: System) -> None:
    inputs = some_input(1, 2)
    assert inputs.words is not None
    pad = torch.nn.functional.pad
    padded = replace(inputs, words=Tokens(pad(inputs.words.values, (0, 0, 0, 7)),
                                          pad(inputs.words.exists, (0, 7))))
    torch.testing.assert_close(model(inputs)['action_head'], model(padded)['action_head'],
                               atol=1e-5, rtol=1e-4)


def test_what_novelty_sees_of_the_image_ignores_the_words_and_the_other_way_round(model: System
                                                                                 ) -> None:
    inputs, other = some_input(1, 1), some_input(1, 1, seed=1)
    reworded = replace(inputs, words=other.words)
    elsewhere = replace(inputs, images=other.images)
    for stream, same, different in (('vision.pooled', reworded, elsewhere),
                                    ('language.vector', elsewhere, reworded)):
        plain = model(inputs)[stream].vector
        torch.testing.assert_close(plain, model(same)[stream].vector, atol=1e-5, rtol=0)
        assert (plain - model(different)[stream].vector).abs().max() > 1e-3


def test_what_words_say_needs_no_image(model: System) -> None:
    assert model.needs('instruction_head') == {'words'}
    assert model.needs() == {'image', 'words', 'joints', 'time'}
    words = some_input(1, 2).words
    assert model(Inputs(words=words))['instruction_head'].shape[0] == 2
    with pytest.raises(ValueError, match="lacks images of camera 'head'"):
        model(Inputs(words=words))['action_head']


def test_the_confidence_loss_reaches_the_confidence_head_alone(model: System) -> None:
    streams = model(some_input(1, 2))
    model.part('confidence_head', Head).loss(
        streams['confidence_head'], Targets(success=torch.tensor([0.0, 1.0]))).sum().backward()
    touched = {n.split('.')[0] for n, p in model.named_parameters()
               if p.grad is not None and p.grad.abs().max() > 0}
    model.zero_grad(set_to_none=True)
    assert touched == {'confidence_head'}


def test_every_answer_of_every_head_is_finite_on_extreme_input(model: System) -> None:
    inputs = some_input(1, 1)
    assert inputs.joints is not None
    bright = torch.ones_like(inputs.images['head'])
    streams = model(replace(inputs, images={'head': bright}, joints=inputs.joints * 5))
    for value in (streams['action_head'], streams['progress_head'], streams['evidence'].vector,
                  streams['query'].position):
        assert torch.isfinite(value).all()


def grounding(logits: torch.Tensor, position: torch.Tensor) -> Grounding:
    return Grounding(logits, position, torch.zeros(len(logits)),
                     Tokens.of(torch.zeros(len(logits), 4)))


def test_the_target_loss_prefers_the_right_cell_and_ignores_rows_without_target() -> None:
    head = TargetHead(SPACE, [{'cells': Shape(1, 192, (12, 16))}])
    target = torch.tensor([[1.0, -0.95, -0.95, 1.0], [0.0, np.nan, np.nan, np.nan], [np.nan] * 4])
    right, wrong = torch.zeros(3, 193), torch.zeros(3, 193)
    right[0, 0], right[1, 192] = 9, 9
    wrong[0, 100], wrong[1, 0] = 9, 9
    place = target[:, 1:3].nan_to_num()
    good, bad = (head.loss(found, Targets(target=target))
                 for found in (grounding(right, place), grounding(wrong, -place)))
    assert (good[:2] < bad[:2] - 1).all()
    assert good[2] == bad[2] == 0
    found = head.predict(grounding(right, place))
    assert found.visible[0] > 0.9 and found.visible[1] < 0.1


def test_the_progress_loss_is_zero_at_its_label() -> None:
    label = torch.tensor([0.25, 0.5, 0.9])
    head = ProgressHead(SPACE, [Shape(8)], hidden=4)

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return head.loss(logits, Targets(progress=labels))
    value = loss(torch.logit(label), label)
    torch.testing.assert_close(value, torch.zeros(3), atol=1e-6, rtol=0)
    assert (loss(torch.logit(label) + 1, label) > 0.01).all()
    # Labels of exactly 0 and 1, as every episode has them.
    assert torch.isfinite(loss(torch.tensor([3.0, -3.0]), torch.tensor([1.0, 0.0]))).all()


def test_labels_tell_all_tasks_apart() -> None:
    labels = {tuple(instruction_labels(k)) for k in (*TASK_KEYS, None)}
    assert len(labels) == len(TASK_KEYS) + 1
    assert instruction_labels('go_to:green:cup') == [3, -1, -1, -1, 1, 2]
    assert INSTRUCTION_SLOTS[0][0] == 'family'


def changed(section: str, name: str, **changes: object) -> dict[str, object]:
    """The default configuration with another setting; None takes it away."""
    data = load_model_config('default').to_dict()
    data[section][name] = {k: v for k, v in {**data[section].get(name, {}), **changes}.items()
                           if v is not None}
    return data


WHOLE = load_model_config('default').to_dict()


@pytest.mark.parametrize(('data', 'words'), [
    ({'width': 128}, 'has no width'),
    ({'source': 'x'}, 'needs observes'),
    ({**WHOLE, 'head': {}}, 'did you mean heads'),
    (changed('parts', 'vision', part=None), 'parts.vision needs part and of'),
    (changed('parts', 'vision', part='film_con'), 'did you mean film_conv'),
    (changed('heads', 'action_head', head='regresion'), 'did you mean regression'),
    (changed('parts', 'vision', of=['image', 'langage.vector']), 'nothing gives'),
    (changed('parts', 'language', of=['vision.tokens']), 'in a circle'),
    (changed('parts', 'image', part='novelty', of=['words']), 'no name that a part may have'),
    ({**WHOLE, 'signals': {'image': 'novlty'}}, 'signals.image'),
    ({**WHOLE, 'observes': {'cameras': {'head': [0, 3]}}}, 'numbers of 1 or more'),
    ({**WHOLE, 'gives': {}}, 'gives needs channels'),
])
def test_a_wrong_configuration_is_refused(data: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ModelConfig.from_dict(data, 'here.yaml')


@pytest.mark.parametrize(('data', 'words'), [
    (changed('parts', 'vision', colour=1), 'no setting colour'),
    (changed('parts', 'vision', widht=1), 'did you mean width'),
    (changed('parts', 'vision', stem=None), 'needs stem'),
    (changed('parts', 'query', of=['vision.grid', 'language.vector']), 'vision gives no grid'),
    (changed('parts', 'query', of=['words', 'language.vector']), 'cannot be built'),
    (changed('parts', 'vision', of=['image.wrist', 'language.vector']), 'no such camera'),
])
def test_parts_that_do_not_fit_are_refused(data: dict[str, object], words: str) -> None:
    config = ModelConfig.from_dict(data, 'here.yaml')
    with pytest.raises(UserError, match=words):
        System(config, SPACE)


def test_a_missing_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='nowhere'):
        load_model_config(str(tmp_path / 'nowhere.yaml'))
    with pytest.raises(UserError, match='did you mean default'):
        load_model_config('defualt')
