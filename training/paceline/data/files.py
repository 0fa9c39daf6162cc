"""Documents out of files: text, Markdown, JSON lines and Parquet, on a disk, a shared file system or in a bucket.

A reader takes the content of one file and gives its documents; a new format is a function and a line of READERS.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from paceline.clients.object_store import DirectoryStore, ObjectStore, open_store
from paceline.data.corpus import MINIMUM_CHARACTERS, Document
from paceline.data.progress import Progress, silent
from paceline.spec.errors import DataError, Problem

_SHOWN_PROBLEMS = 20
_COMPRESSED = ".gz"


def read_text(content: bytes, where: str, field: str) -> Iterator[Document]:
    """The whole file is one document; bytes that are not UTF-8 become U+FFFD."""
    yield Document(name=where, text=content.decode("utf-8", errors="replace"))


def read_markdown(content: bytes, where: str, field: str) -> Iterator[Document]:
    """As text, without the YAML between two `---` at the top."""
    for document in read_text(content, where, field):
        text = document.text
        if text.startswith("---\n") and (end := text.find("\n---\n", 3)) != -1:
            text = text[end + len("\n---\n") :]
        yield Document(name=where, text=text)


def read_json_lines(content: bytes, where: str, field: str) -> Iterator[Document]:
    """One document per line: an object whose `field` is the text. One DataError names the lines that are none."""
    problems: list[Problem] = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as cause:
            problems.append(Problem(message=f"{where}:{number}: not JSON: {cause}", hint="mend or remove the line"))
            continue
        text = record.get(field) if isinstance(record, dict) else None
        if isinstance(text, str):
            yield Document(name=f"{where}:{number}", text=text)
        else:
            hint = "say with --text-field which key holds the text"
            problems.append(Problem(message=f"{where}:{number}: no text under `{field}`", hint=hint))
    if problems:
        raise DataError.of(problems[:_SHOWN_PROBLEMS])


def read_parquet(content: bytes, where: str, field: str) -> Iterator[Document]:
    """One document per row, the text in the column `field`; rows without one are passed over."""
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError as cause:
        raise DataError(f"{where}: reading Parquet needs pyarrow", "pip install 'paceline[parquet]'") from cause
    try:
        file = parquet.ParquetFile(io.BytesIO(content))
    except arrow.ArrowInvalid as cause:
        raise DataError(f"{where}: not a Parquet file: {cause}", "mend or remove it") from cause
    if field not in file.schema_arrow.names:
        raise DataError(
            f"{where}: no column `{field}`; there is: {', '.join(file.schema_arrow.names)}",
            "say with --text-field which column holds the text",
        )
    row = 0
    for batch in file.iter_batches(columns=[field]):
        for text in batch.column(0).to_pylist():
            row += 1
            if isinstance(text, str):
                yield Document(name=f"{where}:{row}", text=text)


Reader = Callable[[bytes, str, str], Iterator[Document]]

READERS: Mapping[str, Reader] = {
    ".txt": read_text,
    ".rst": read_text,
    ".pod": read_text,
    ".md": read_markdown,
    ".jsonl": read_json_lines,
    ".parquet": read_parquet,
}
"""By the end of a file's name, which `.gz` may follow."""


def read_files(
    location: str,
    *,
    source: str = "",
    field: str = "text",
    minimum_characters: int = MINIMUM_CHARACTERS,
    progress: Progress = silent,
) -> list[Document]:
    """The documents of the files at `location`, a file or all below a directory or a prefix (path, file://, s3://).

    In the order of the files' names; texts below `minimum_characters` are left out, and so are exact repetitions.
    `field` is where JSON lines and Parquet hold the text. DataError when there is no file that a reader knows, and for
    whatever a file does not hold.
    """
    store, keys = find_files(location, tuple(READERS))
    documents: dict[str, Document] = {}
    for done, key in enumerate(keys):
        progress(f"read {source or location}", done, len(keys))
        where = f"{store.uri}/{key}".removeprefix("file://")
        for document in READERS[_kind(key)](read_content(store, key, where), where, field):
            text = document.text.strip()
            if len(text) >= minimum_characters and text not in documents:
                documents[text] = Document(name=document.name, text=text, source=source)
    progress(f"read {source or location}", len(keys), len(keys))
    if not documents:
        raise DataError(f"{location}: holds no text of {minimum_characters} characters or more", "give longer texts")
    return list(documents.values())


def find_files(location: str, kinds: Sequence[str]) -> tuple[ObjectStore, list[str]]:
    """A store and its keys, below `location` or that itself, whose names end in one of `kinds`; `.gz` may follow."""
    path = Path(location.removeprefix("file://"))
    store: ObjectStore
    if "://" not in location.removeprefix("file://") and path.is_file():
        store, keys = DirectoryStore(path.parent), [path.name]
    elif _kind(location) in kinds and location.startswith("s3://"):
        folder, _, name = location.rpartition("/")
        store, keys = open_store(folder, DataError), [name]
    else:
        store = open_store(location, DataError)
        keys = list(store.list())
    known = [key for key in keys if _kind(key) in kinds]
    if not known:
        there = f"none of the {len(keys)} files is" if keys else "no file here is"
        raise DataError(f"{location}: {there} one of {', '.join(kinds)}", "give the place of such files")
    return store, known


def _kind(key: str) -> str:
    return PurePosixPath(key.lower().removesuffix(_COMPRESSED)).suffix


def read_content(store: ObjectStore, key: str, where: str) -> bytes:
    """What a file of `find_files` holds, unpacked."""
    try:
        content = store.get(key)
    except FileNotFoundError as cause:
        raise DataError(f"{where}: there is no such file", "check the place") from cause
    if not key.lower().endswith(_COMPRESSED):
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as cause:
        raise DataError(f"{where}: not a whole gzip file: {cause}", "fetch it again, or remove it") from cause
