"""Multiple choice: shipped questions are sound, and scores are counted as by lm-evaluation-harness."""

from __future__ import annotations

import pytest

from paceline.data.tokenizer import TextTokenizer
from paceline.spec.errors import RecipeError
from paceline.train import tasks
from paceline.train.tasks import Choice, Question, Task, score


@pytest.mark.parametrize("name", tasks.names())
def test_shipped_questions_have_one_right_answer_among_different_ones(name: str) -> None:
    file = tasks.read(name)
    assert file.licence and file.source
    assert len({q.question for q in file.questions}) == len(file.questions) >= 20
    for question in file.questions:
        assert len(set(question.answers)) == len(question.answers)
    places = {question.right for question in file.questions}
    assert places == {0, 1, 2, 3}, "always the same place would be learned"


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="no task `evryday`") as caught:
        tasks.read("evryday")
    assert caught.value.problems[0].hint == "did you mean `everyday`?"


def test_context_and_answer_are_tokenised_apart() -> None:
    tokenizer = TextTokenizer.train(["Question: what is the capital of France? Answer: Paris"], 300)
    task = tasks.tokenise("everyday", tokenizer)
    first = task.choices[0]
    assert tokenizer.decode(first.context) == f"Question: {task.questions[0].question}\nAnswer:"
    assert tokenizer.decode(first.answer) == f" {task.questions[0].answers[0]}"
    assert first.bytes == len(f" {task.questions[0].answers[0]}")
    assert len(task.choices) == sum(len(q.answers) for q in task.questions)


def test_a_long_right_answer_wins_only_per_byte() -> None:
    questions = (
        Question(question="a", answers=("short", "a long answer"), right=1),
        Question(question="b", answers=("yes", "no"), right=0),
    )
    choices = tuple(Choice(context=(1,), answer=(2,), bytes=size) for size in (6, 14, 4, 3))
    result = score(Task(name="t", questions=questions, choices=choices), [-5.0, -7.0, -1.0, -2.0])
    assert (result.questions, result.accuracy, result.accuracy_by_bytes) == (2, 0.5, 1.0)
