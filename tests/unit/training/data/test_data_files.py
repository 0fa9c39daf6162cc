"""Readers: what each format holds becomes documents, and what it does not hold is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from paceline.data.files import READERS, read_files
from paceline.data.sources import Sources
from paceline.spec.errors import DataError

LONG = "a text that is long enough to be kept, in forty characters"


def texts(place: Path, **changes: object) -> list[str]:
    return [document.text for document in read_files(str(place), **changes)]  # type: ignore[arg-type]


def test_all_files_below_a_directory_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.txt").write_text(f"{LONG} two")
    (tmp_path / "a.md").write_text(f"---\ntitle: x\n---\n{LONG} one")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": f"{LONG} three"}).encode()))
    (tmp_path / "picture.png").write_bytes(b"none of ours")
    assert texts(tmp_path) == [f"{LONG} one", f"{LONG} two", f"{LONG} three"]


def test_a_single_file_and_a_uri(tmp_path: Path) -> None:
    file = tmp_path / "one.txt"
    file.write_text(LONG)
    assert texts(file) == texts(Path(f"file://{tmp_path}")) == [LONG]


def test_short_texts_and_repetitions_are_left_out(tmp_path: Path) -> None:
    rows = [LONG, "short", LONG, f"{LONG}!"]
    (tmp_path / "d.jsonl").write_text("\n".join(json.dumps({"body": row}) for row in rows))
    assert texts(tmp_path, field="body") == [LONG, f"{LONG}!"]
    assert texts(tmp_path, field="body", minimum_characters=1) == [LONG, "short", f"{LONG}!"]


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(f'{{"text": "{LONG}"}}\n{{"body": "x"}}\n\n{{not json\n["text"]\n')
    with pytest.raises(DataError) as caught:
        read_files(str(tmp_path))
    places = [problem.message.partition(": ")[0].rpartition("/")[2] for problem in caught.value.problems]
    assert places == ["d.jsonl:2", "d.jsonl:4", "d.jsonl:5"]


def test_what_is_not_there_or_not_readable_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file here is one of"):
        read_files(str(tmp_path))
    (tmp_path / "x.txt.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match=r"x\.txt\.gz: not a whole gzip file"):
        read_files(str(tmp_path))
    (tmp_path / "x.txt.gz").write_bytes(gzip.compress(b"short"))
    with pytest.raises(DataError, match="holds no text of 40 characters"):
        read_files(str(tmp_path))


def test_parquet_without_its_library_says_what_to_install(tmp_path: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        (tmp_path / "x.parquet").write_bytes(b"PAR1")
        with pytest.raises(DataError, match="needs pyarrow") as caught:
            read_files(str(tmp_path))
        assert "paceline[parquet]" in str(caught.value.problems[0].hint)


def test_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"text": [LONG, None, f"{LONG}!"]}), tmp_path / "x.parquet")
    assert texts(tmp_path) == [LONG, f"{LONG}!"]
    with pytest.raises(DataError, match="no column `body`; there is: text"):
        read_files(str(tmp_path), field="body")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="not a Parquet file"):
        read_files(str(tmp_path))


def test_every_reader_is_in_the_table() -> None:
    assert set(READERS) == {".txt", ".rst", ".pod", ".md", ".jsonl", ".parquet"}


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        (["a=0.7", "b=0.3"], {"a": 7, "b": 3}),
        (["a=1", "b=1"], {"a": 1, "b": 1}),
        (["a=1/3", "b=0.5"], {"a": 2, "b": 3}),
        ([], None),
    ],
)
def test_weights_become_the_smallest_whole_numbers(weights: list[str], parts: dict[str, int] | None) -> None:
    assert Sources.parse(["a=x", "b=y"], weights).mixture == parts


def test_everything_wrong_with_the_sources_is_said_at_once() -> None:
    with pytest.raises(DataError) as caught:
        Sources.parse(["a=x", "a=y", "docs=z"], ["a=0", "dosc=1"])
    messages = [problem.message for problem in caught.value.problems]
    assert messages == [
        "a=y: a second source called `a`",
        "--weight a=0: not a weight",
        "--weight dosc=1: there is no source `dosc`",
        "no weight for docs",
    ]
    with pytest.raises(DataError, match="come out exactly only every"):
        Sources.parse(["a=x", "b=y"], ["a=0.12345678", "b=1"])


def test_a_place_needs_no_name() -> None:
    plan = Sources.parse(["s3://bucket/a=b/c"], [])
    assert (plan.places, plan.mixture) == ({"": "s3://bucket/a=b/c"}, None)
    assert Sources.parse([], []).description.startswith("documentation of ")
