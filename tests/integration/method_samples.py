"""Questions about Python and their answers, out of the documentation that comes with it: as the guide makes them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from paceline.data.corpus import interpreter_documentation


def write(directory: Path, part: slice = slice(None), *, longest: int = 300) -> None:
    """`conversations.jsonl` and `preferences.jsonl` of a `part` of what is documented in at most `longest` characters.

    What is not preferred is the answer to another question: every answer is preferred once and once not, so that none
    is rewarded for what it is or for how long it is, but only for what it answers.
    """
    documented = [(question, answer) for question, answer in _documented() if len(answer) <= longest][part]
    directory.mkdir(exist_ok=True)
    with (directory / "conversations.jsonl").open("w") as conversations:
        for question, answer in documented:
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
            conversations.write(json.dumps({"messages": messages}) + "\n")
    with (directory / "preferences.jsonl").open("w") as preferences:
        for (question, answer), (_, other) in zip(documented, documented[1:] + documented[:1], strict=True):
            if other != answer:
                preferences.write(json.dumps({"prompt": question, "chosen": answer, "rejected": other}) + "\n")


@cache
def _documented() -> list[tuple[str, str]]:
    """Questions and answers; to read the whole library takes seconds."""
    found = []
    for document in interpreter_documentation():
        first = " ".join(document.text.split("\n\n")[0].split())
        if not document.name.startswith("topics.") and len(first) >= 60:
            found.append((f"What is {document.name} in Python?", first))
    return found
