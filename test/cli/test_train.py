"""`vla train` refuses bad arguments before it does anything."""

from pathlib import Path

import pytest

from vla_humanoid_control.cli.main import main


@pytest.mark.parametrize(('arguments', 'words'), [
    (['--stage', 'confidence'], '--checkpoint'),
    (['--epochs', '0'], '--epochs must be greater than 0'),
    (['--time-budget', '-3'], '--time-budget must be greater than 0'),
    (['--config', 'no-such'], 'no-such.yaml'),
    ([], 'has no shards'),
])
def test_bad_arguments_end_with_one_clear_error(tmp_path: Path, arguments: list[str], words: str,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / 'run'
    code = main(['train', '--data', str(tmp_path), '--output', str(output), *arguments])
    assert code == 2
    assert words in capsys.readouterr().err
    assert not output.exists()
