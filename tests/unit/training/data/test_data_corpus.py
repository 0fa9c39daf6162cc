"""The interpreter's documentation as documents."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from paceline.data.corpus import MINIMUM_CHARACTERS, interpreter_documentation
from paceline.spec.errors import DataError

LONG = "words that are long enough to be kept, because there are many of them"


def library(root: Path, **files: str) -> Path:
    (root / "os.py").write_text(f'"""os: {LONG}"""\n')
    for name, content in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def names(root: Path) -> list[str]:
    return [document.name for document in interpreter_documentation(root)]


def test_every_docstring_becomes_a_document_without_importing(tmp_path: Path) -> None:
    source = f'''"""module: {LONG}"""
raise SystemExit("imported")
class Rider:
    """class: {LONG}"""
    if True:
        def ride(self):
            """method: {LONG}"""
            async def inner():
                """inner: {LONG}"""
'''
    found = list(interpreter_documentation(library(tmp_path, peloton=source)))
    ride = "peloton.Rider.ride"
    assert [d.name for d in found] == ["os", "peloton", "peloton.Rider", ride, f"{ride}.inner"]
    assert found[3].text == f"method: {LONG}"


def test_definitions_in_handlers_and_match_cases_are_found(tmp_path: Path) -> None:
    body = "\n".join(
        [
            "try:",
            "    import fast",
            "except ImportError:",
            f"    def slow():\n        '''slow: {LONG}'''",
            "match 1:",
            f"    case 1:\n        def one():\n            '''one: {LONG}'''",
        ]
    )
    assert names(library(tmp_path, m=body)) == ["m.slow", "m.one", "os"]


def test_tests_short_texts_repetitions_and_broken_files_are_left_out(tmp_path: Path) -> None:
    root = library(
        tmp_path,
        a=f'"""same: {LONG}"""',
        b=f'"""same: {LONG}"""',
        short=f'"""{"x" * (MINIMUM_CHARACTERS - 1)}"""',
        enough=f'"""{"x" * MINIMUM_CHARACTERS}"""',
        broken="print 'two'",
        json__tests__t=f'"""in tests: {LONG}"""',
    )
    (root / "site-packages").mkdir()
    (root / "site-packages" / "torch.py").write_text(f'"""not ours: {LONG}"""')
    assert names(root) == ["a", "enough", "os"]


def test_topics_are_read_as_data_in_order(tmp_path: Path) -> None:
    topics = f"topics = {{'while': 'while: {LONG}', 'break': 'break: {LONG}'}}"
    assert names(library(tmp_path, pydoc_data__topics=topics)) == ["os", "topics.break", "topics.while"]


def test_an_interpreter_without_sources_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sources of the standard library"):
        list(interpreter_documentation(tmp_path / f"python{sys.version_info.minor}.zip"))
