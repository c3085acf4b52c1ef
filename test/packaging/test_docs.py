"""Documentation names files that exist, and every folder of the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'vla_humanoid_control'
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
CODE = sorted(p for folder in (PACKAGE, ROOT / 'fuzz', ROOT / 'benchmarks', ROOT / 'config')
              for p in folder.rglob('*') if p.suffix in ('.py', '.yaml', '.xml'))
FILES = [p.relative_to(ROOT) for p in ROOT.rglob('*.py')
         if not any(part.startswith('.') for part in p.relative_to(ROOT).parts)]
SOURCE = re.compile(r'(?<![\w./*-])((?:[\w.-]+/)*[A-Za-z_]\w*\.py)\b')


def missing(text: str) -> set[str]:
    """Python files that a text names by the end of a path, and that are nowhere."""
    return {name for name in SOURCE.findall(text)
            if not any(f'/{path}'.endswith(f'/{name.removeprefix("../")}') for path in FILES)}


def test_a_path_that_leads_nowhere_is_found() -> None:
    text = 'See `control/task.py`, [spec](../vla_humanoid_control/robot/spec.py), `gone/task.py`.'
    assert missing(text) == {'gone/task.py'}


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.name)
def test_every_source_that_a_page_names_exists(page: Path) -> None:
    """Regression: pages named modules under the names that these had before they moved."""
    text = page.read_text(encoding='utf-8')
    assert not missing(text)
    links = re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', text)
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize('path', CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_source_that_comments_name_exists(path: Path) -> None:
    assert not missing(path.read_text(encoding='utf-8'))


def test_the_page_on_architecture_names_every_folder_and_file_of_the_package() -> None:
    page = (ROOT / 'docs' / 'architecture.md').read_text(encoding='utf-8')
    rooms = {p.relative_to(PACKAGE).parts[0] for p in PACKAGE.rglob('*.py')} - {'__init__.py'}
    assert not [r for r in rooms if f'| `{r}{"" if r.endswith(".py") else "/"}` |' not in page]
