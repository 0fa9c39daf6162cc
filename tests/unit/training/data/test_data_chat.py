"""Chat templates: which text stands around messages, and which of it is learned."""

from __future__ import annotations

import json

import pytest

from paceline.data.chat import ChatTemplate, Piece
from paceline.spec.errors import DataError

CHATML = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
USER, ANSWER = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "We."}


def test_an_answer_is_learned_with_its_end_and_nothing_else() -> None:
    again = {"role": "user", "content": "You?"}
    pieces = ChatTemplate(CHATML, "test").pieces([USER, ANSWER, again, {"role": "assistant", "content": "Me."}])
    assert pieces == [
        Piece(text="<user>Who?</><assistant>", learned=False),
        Piece(text="We.</>", learned=True),
        Piece(text="<user>You?</><assistant>", learned=False),
        Piece(text="Me.</>", learned=True),
    ]


def test_of_a_preference_only_the_last_answer_is_learned() -> None:
    pieces = ChatTemplate(CHATML, "test").pieces([USER, ANSWER, USER, ANSWER], only_last=True)
    assert pieces == [
        Piece(text="<user>Who?</><assistant>We.</><user>Who?</><assistant>", learned=False),
        Piece(text="We.</>", learned=True),
    ]


def test_what_follows_the_last_answer_is_left_out() -> None:
    assert "".join(piece.text for piece in ChatTemplate(CHATML, "test").pieces([USER, ANSWER, USER])).endswith("We.</>")


def test_a_template_that_rewrites_the_prompt_is_refused() -> None:
    counting = "{{ messages | length }}" + CHATML
    with pytest.raises(DataError, match="test: the template changes what is before an answer"):
        ChatTemplate(counting, "test").pieces([USER, ANSWER])


def test_a_template_that_refuses_is_told() -> None:
    with pytest.raises(DataError, match="the template refuses the messages: no users here"):
        ChatTemplate("{{ raise_exception('no users here') }}", "test").pieces([USER, ANSWER])


def test_a_template_that_is_wrong_is_told() -> None:
    with pytest.raises(DataError, match="the template refuses the messages: can only concatenate str"):
        ChatTemplate("{{ messages[0].content + 1 }}", "test").pieces([USER, ANSWER])


def test_a_template_cannot_reach_beyond_the_messages() -> None:
    with pytest.raises(DataError, match="refuses the messages"):
        ChatTemplate("{{ messages.__class__.__mro__ }}", "test").pieces([USER, ANSWER])


def test_text_that_is_no_template_is_refused() -> None:
    with pytest.raises(DataError, match="test: not a chat template"):
        ChatTemplate("{% for %}", "test")


def test_a_models_template_knows_its_special_tokens() -> None:
    config = {"chat_template": "{{ bos_token }}{{ eos_token }}", "bos_token": "<s>", "eos_token": {"content": "</s>"}}
    template = ChatTemplate.beside({"tokenizer_config.json": json.dumps(config).encode()}, "model")
    assert template is not None
    assert template.pieces([USER, ANSWER])[0].text == "<s></s>"


def test_a_file_of_its_own_comes_before_the_configuration() -> None:
    files = {"tokenizer_config.json": b'{"chat_template": "old"}', "chat_template.jinja": b"new"}
    template = ChatTemplate.beside(files, "model")
    assert template is not None
    assert template.pieces([USER, ANSWER])[0].text == "new"


def test_of_several_by_name_the_default_is_taken() -> None:
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "words"}]
    template = ChatTemplate.beside({"tokenizer_config.json": json.dumps({"chat_template": named}).encode()}, "model")
    assert template is not None
    assert template.pieces([USER, ANSWER])[0].text == "words"


def test_answers_that_a_template_marks_are_rendered_as_others() -> None:
    marked = CHATML.replace("{{ m.content }}", "{% generation %}{{ m.content }}{% endgeneration %}")
    assert ChatTemplate(marked, "test").pieces([USER, ANSWER]) == ChatTemplate(CHATML, "test").pieces([USER, ANSWER])


def test_a_model_may_have_none() -> None:
    assert ChatTemplate.beside({}, "model") is None
