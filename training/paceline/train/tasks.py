"""Multiple choice as lm-evaluation-harness scores it: the answer to which the model gives the highest probability.

A task is a file in `questions/`, with its licence and its source; every question has one right answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice

import yaml
from pydantic import Field, model_validator

from paceline.data.tokenizer import TextTokenizer
from paceline.spec.base import Record
from paceline.spec.documents import nearest
from paceline.spec.errors import RecipeError
from paceline.spec.events import TaskScore

_FOLDER = files("paceline.train").joinpath("questions")


class Question(Record):
    """`right` is the place of the right answer among `answers`, from 0."""

    question: str
    answers: tuple[str, ...] = Field(min_length=2)
    right: int = Field(ge=0)

    @model_validator(mode="after")
    def _right_is_an_answer(self) -> Question:
        if self.right >= len(self.answers):
            raise ValueError(f"right: there is no answer {self.right}")
        return self


class QuestionFile(Record):
    licence: str
    source: str
    questions: tuple[Question, ...] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One answer to one question, as token ids. `bytes` is the length of the answer in UTF-8."""

    context: tuple[int, ...]
    answer: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task in the tokens of one tokenizer. `choices` are those of all questions, one question after the other."""

    name: str
    questions: tuple[Question, ...]
    choices: tuple[Choice, ...]


def names() -> list[str]:
    """The tasks that ship with paceline."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _FOLDER.iterdir() if entry.name.endswith(".yaml"))


def read(name: str) -> QuestionFile:
    """The questions of a task; RecipeError if there is no such task."""
    if name not in names():
        raise RecipeError(f"evaluation.tasks: there is no task `{name}`", nearest(name, names()))
    return QuestionFile.model_validate(yaml.safe_load(_FOLDER.joinpath(f"{name}.yaml").read_text(encoding="utf-8")))


def tokenise(name: str, tokenizer: TextTokenizer) -> Task:
    """The task called `name`. Context and answer are tokenised apart, so that no token holds a piece of both."""
    questions = read(name).questions
    contexts = tokenizer.encode([f"Question: {question.question}\nAnswer:" for question in questions])
    choices = []
    for question, context in zip(questions, contexts, strict=True):
        texts = [f" {answer}" for answer in question.answers]
        for text, ids in zip(texts, tokenizer.encode(texts), strict=True):
            choices.append(Choice(context=tuple(context), answer=tuple(ids), bytes=len(text.encode())))
    return Task(name=name, questions=questions, choices=tuple(choices))


def score(task: Task, log_probabilities: Sequence[float]) -> TaskScore:
    """From the log probability of each of the task's choices."""
    assert len(log_probabilities) == len(task.choices)
    whole = iter(log_probabilities)
    by_bytes = iter([p / choice.bytes for p, choice in zip(log_probabilities, task.choices, strict=True)])
    return TaskScore(
        questions=len(task.questions),
        accuracy=sum(_is_right(q, list(islice(whole, len(q.answers)))) for q in task.questions) / len(task.questions),
        accuracy_by_bytes=sum(_is_right(q, list(islice(by_bytes, len(q.answers)))) for q in task.questions)
        / len(task.questions),
    )


def _is_right(question: Question, values: list[float]) -> bool:
    return values.index(max(values)) == question.right
