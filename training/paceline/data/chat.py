"""Conversations as a model reads them: its tokenizer's chat template, and which of the text is answers.

A template is Jinja, as `tokenizer_config.json` or `chat_template.jinja` hold it beside a model. It comes from whoever
published the model, so it runs in Jinja's sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import Extension
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from paceline.spec.errors import DataError

TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
TEMPLATE_NAME = "chat_template.jinja"
ANSWERS = "assistant"
"""The role whose messages are learned."""

Message = Mapping[str, str]
"""`role` and `content`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A stretch of a conversation's text, all of it learned or none."""

    text: str
    learned: bool


class ChatTemplate:
    """What stands around messages. `source` is how errors call it; `specials` are the names of special tokens that
    templates use: `bos_token`, `eos_token` and so on."""

    def __init__(self, template: str, source: str, specials: Mapping[str, str] | None = None) -> None:
        self._source = source
        self._specials = dict(specials or {})
        # as transformers renders them (https://huggingface.co/docs/transformers/chat_templating), but for today's date:
        # templates that ask for it know what to do without
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        environment.globals |= {"raise_exception": _refuse}
        environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
        try:
            self._template = environment.from_string(template)
        except TemplateError as cause:
            raise DataError(f"{source}: not a chat template: {cause}", "give another with --chat-template") from cause

    @classmethod
    def beside(cls, files: Mapping[str, bytes], source: str) -> ChatTemplate | None:
        """That of a model with such `files`, if it has one."""
        template = _config(files, source).get("chat_template")
        if isinstance(template, list):  # by name: some models have others for tools
            template = {one.get("name"): one.get("template") for one in template}.get("default")
        if TEMPLATE_NAME in files:
            template = files[TEMPLATE_NAME].decode()
        return cls(template, source, cls.specials(files, source)) if isinstance(template, str) else None

    @staticmethod
    def specials(files: Mapping[str, bytes], source: str) -> dict[str, str]:
        """The special tokens of a model with such `files`. Each is its text, or an object that holds it."""
        found = {}
        for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
            token = _config(files, source).get(name)
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str):
                found[name] = text
        return found

    def pieces(self, messages: Sequence[Message], *, only_last: bool = False) -> list[Piece]:
        """The text of `messages`, in which answers are learned with what ends them, or with `only_last` the last one.

        Each answer is what the template adds to the prompt for it. DataError where the template does not render the
        messages, or changes earlier text when more follow, so that no prompt can be told from its answer.
        """
        pieces: list[Piece] = []
        done = ""
        answers = [number for number, message in enumerate(messages) if message["role"] == ANSWERS]
        for number in answers[-1:] if only_last else answers:
            for text, learned in (
                (self._render(messages[:number], prompt=True), False),
                (self._render(messages[: number + 1], prompt=False), True),
            ):
                if not text.startswith(done):
                    raise DataError(
                        f"{self._source}: the template changes what is before an answer when the answer is there",
                        "give one that does not with --chat-template: `chatml`, or a file",
                    )
                pieces.append(Piece(text=text[len(done) :], learned=learned))
                done = text
        return pieces

    def _render(self, messages: Sequence[Message], *, prompt: bool) -> str:
        try:
            return self._template.render(messages=messages, add_generation_prompt=prompt, **self._specials)
        except Exception as cause:  # a program of other people: it may raise anything
            raise DataError(
                f"{self._source}: the template refuses the messages: {cause}", "mend the messages"
            ) from cause


class _Generation(Extension):
    """`{% generation %}`, with which templates mark answers for transformers. What it holds is rendered as it stands:
    answers are found without."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _config(files: Mapping[str, bytes], source: str) -> dict[str, Any]:
    try:
        document = json.loads(files.get(TOKENIZER_CONFIG_NAME, b"{}"))
    except ValueError as cause:
        raise DataError(f"{source}: {TOKENIZER_CONFIG_NAME}: not JSON: {cause}", "import the model again") from cause
    return document if isinstance(document, dict) else {}


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)
