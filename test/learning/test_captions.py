"""What is said of an image is what the simulator's state says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from vla_humanoid_control.cli.main import main as vla
from vla_humanoid_control.data.shards import ShardSet, find_shards
from vla_humanoid_control.learning.behaviour_cloning import measure
from vla_humanoid_control.learning.captions import Captions, heads_of, side
from vla_humanoid_control.models.config import load_model_config
from vla_humanoid_control.models.parts.language.prompts import Prompt
from vla_humanoid_control.models.parts.part import Head
from vla_humanoid_control.models.streams import Space
from vla_humanoid_control.models.system import System
from vla_humanoid_control.support.errors import UserError
from vla_humanoid_control.tasks.vocabulary import TASK_KEYS


def model(name: str) -> System:
    config = load_model_config(name, demo=True)
    torch.manual_seed(0)
    return System(config, Space({'head': (128, 96)}, 31, 22, config.space.horizon,
                                config.space.frames)).eval()


@pytest.fixture
def shards(demo_data: Path) -> ShardSet:
    return ShardSet(find_shards([demo_data])['train'])


def test_answers_are_true_of_their_images(shards: ShardSet) -> None:
    inputs, targets = Captions(shards).draw(model('rt2'), 60, measure(shards),
                                            np.random.default_rng(0))
    assert inputs.text is not None and targets.answers is not None and inputs.frame is not None
    samples, kinds = shards.samples, set()
    said = list(zip(inputs.text, targets.answers))
    for text, answer in said:
        found = re.fullmatch(r'Q: (is there|where is|how far is) (?:a|the) (\w+) (\w+)\?', text)
        assert found is not None
        question, colour, shape = found.groups()
        kinds.add(question)
        rows = [i for i, t in enumerate(samples.task)
                if TASK_KEYS[t].split(':')[1:] == [colour, shape]]
        assert any(answer == {
            'is there': 'yes' if v > 0.5 else 'no', 'where is': side(u),
            'how far is': 'near' if d < 1.5 else 'far'}[question]
            for v, u, _, d in samples.target[rows])
    assert kinds == {'is there', 'where is', 'how far is'}


def test_a_model_that_compares_gets_captions(shards: ShardSet) -> None:
    clip = model('clip')
    assert heads_of(clip) == ['alignment'] and heads_of(model('default')) == []
    inputs, targets = Captions(shards).draw(clip, 20, measure(shards), np.random.default_rng(0))
    assert targets.answers is None and inputs.text is not None
    assert all(re.fullmatch(r'(a|no) \w+ \w+( on the left| on the right| in the middle)?', text)
               for text in inputs.text)


def test_the_two_sides_and_the_middle() -> None:
    assert [side(u) for u in (-0.9, 0.0, 0.9)] == ['on the left', 'in the middle', 'on the right']


def test_a_question_takes_the_place_of_the_sentence_for_an_instruction() -> None:
    prompt = Prompt('<image><begin>Q: what action should the robot take to {text}? A:', ['image'])
    assert prompt.filled(['go left', 'Q: is there a box?'])[-1] == [
        'Q: what action should the robot take to go left? A:', 'Q: is there a box? A:']


@pytest.mark.parametrize(('name', 'learns'), [('rt2', 'answer'), ('clip', 'alignment')])
def test_a_run_learns_them_beside_the_actions(
        demo_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str,
        learns: str) -> None:
    path = tmp_path / 'run.yaml'
    path.write_text(yaml.safe_dump({'model': name, 'training': {
        'data': [str(demo_data)], 'output': str(tmp_path / 'run'), 'steps': 3, 'threads': 1,
        'phrasings_per_task': 2, 'batch_size': 8, 'texts_per_batch': 4,
        'out_of_scope_per_batch': 2, 'captions_per_batch': 8}}), encoding='utf-8')
    assert vla(['train', str(path)]) == 0
    assert re.search(rf'{learns} \d', capsys.readouterr().err)


@pytest.mark.timeout(300)
def test_questions_are_learnt(shards: ShardSet) -> None:
    """A dozen of them, by heart: the answers come back in words."""
    rt2, statistics = model('rt2').train(), measure(shards)
    inputs, targets = Captions(shards).draw(rt2, 12, statistics, np.random.default_rng(1))
    head = rt2.part('plan', Head)
    optimizer = torch.optim.AdamW(rt2.parameters(), 3e-3)
    for _ in range(40):
        loss = head.loss(rt2(inputs)['plan'], targets).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = head.predict(rt2.eval()(inputs)['plan'])
    assert targets.answers is not None
    assert sum(a == b for a, b in zip(said, targets.answers)) >= 10


def test_demonstrations_without_objects_have_nothing_to_say(shards: ShardSet) -> None:
    shards.samples.target[:] = np.nan
    with pytest.raises(UserError, match='captions_per_batch'):
        Captions(shards)
