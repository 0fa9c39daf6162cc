"""Conversations and preferences out of JSON lines, one a line.

    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}     a conversation
    {"prompt": "...", "chosen": "...", "rejected": "..."}                                           a preference

`prompt` may also be messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError, model_validator

from paceline.data.chat import ANSWERS
from paceline.data.files import find_files, read_content
from paceline.data.progress import Progress, silent
from paceline.recipe.method import PAIRS, Method
from paceline.spec.base import Record
from paceline.spec.errors import DataError, Problem

_SHOWN_PROBLEMS = 20


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    return text


_Text = Annotated[str, AfterValidator(_not_blank)]


class Turn(Record):
    role: Literal["system", "user", "assistant", "tool"]
    content: str


class Conversation(Record):
    messages: tuple[Turn, ...]

    @model_validator(mode="after")
    def _has_answers(self) -> Conversation:
        answers = [(number, turn.content) for number, turn in enumerate(self.messages) if turn.role == ANSWERS]
        if not answers:
            raise ValueError(f"messages: none is of the role {ANSWERS}, so there is nothing to learn")
        if empty := [number for number, content in answers if not content.strip()]:
            raise ValueError(f"messages.{empty[0]}: the answer is empty: silence would be learned")
        return self


def _asked(prompt: Any) -> Any:
    return [{"role": "user", "content": _not_blank(prompt)}] if isinstance(prompt, str) else prompt


class Preference(Record):
    prompt: Annotated[tuple[Turn, ...], BeforeValidator(_asked)]
    chosen: _Text
    rejected: _Text

    @model_validator(mode="after")
    def _prefers(self) -> Preference:
        if self.chosen == self.rejected:
            raise ValueError("chosen and rejected are the same, so that nothing is preferred")
        if not self.prompt or self.prompt[-1].role == ANSWERS:
            raise ValueError("prompt: ends with no message that an answer could follow")
        return self

    def conversations(self) -> tuple[Conversation, Conversation]:
        """The prompt with the preferred answer, and with the other."""
        preferred, other = (
            Conversation(messages=(*self.prompt, Turn(role=ANSWERS, content=answer)))
            for answer in (self.chosen, self.rejected)
        )
        return preferred, other


Sample = tuple[str, tuple[Conversation, ...]]
"""Where it was read, and the conversations that stay together: one, or the two of a preference."""


def read_samples(location: str, method: Method, *, progress: Progress = silent) -> list[Sample]:
    """What `method` learns from, in the files at `location` (path, file://, s3://), in the order of their names.

    One DataError names the lines that hold none.
    """
    kind = TypeAdapter(Preference if method in PAIRS else Conversation)
    store, keys = find_files(location, (".jsonl",))
    found: list[Sample] = []
    problems: list[Problem] = []
    for done, key in enumerate(keys):
        progress(f"read {location}", done, len(keys))
        where = f"{store.uri}/{key}".removeprefix("file://")
        for number, line in enumerate(read_content(store, key, where).splitlines(), start=1):
            if not line.strip():
                continue
            try:
                record = kind.validate_json(line)
                together = record.conversations() if isinstance(record, Preference) else (record,)
            except ValidationError as cause:
                problems += _problems(f"{where}:{number}", cause)
                continue
            found.append((f"{where}:{number}", together))
    progress(f"read {location}", len(keys), len(keys))
    if problems:
        raise DataError.of(problems[:_SHOWN_PROBLEMS])
    if not found:
        raise DataError(f"{location}: holds no line", "give files with one JSON object a line")
    return found


def _problems(where: str, cause: ValidationError) -> Iterator[Problem]:
    for error in cause.errors(include_url=False):
        path = ".".join(str(part) for part in error["loc"])
        message = error["msg"].removeprefix("Value error, ")
        yield Problem(
            message=f"{where}: {path + ': ' if path else ''}{message}",
            hint="write the line as docs/guides/fine-tune-on-your-documents.md shows",
        )
