"""The tokenizer: deterministic, lossless, and not confused by text that spells its special token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.data.tokenizer import END_OF_TEXT, TextTokenizer
from paceline.spec.errors import DataError

TEXTS = ["the line closes up and the pace holds " * 5, "one rider drops out of the line " * 5]
TOKENIZER = TextTokenizer.train(TEXTS, 300)


def test_the_same_texts_give_the_same_tokenizer() -> None:
    assert TextTokenizer.train(TEXTS, 300).dump() == TOKENIZER.dump()


def test_learns_merges_up_to_the_vocabulary() -> None:
    assert TOKENIZER.vocabulary == 300
    assert len(TOKENIZER.encode([TEXTS[0]])[0]) < len(TEXTS[0]) / 2


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_survives(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode([text])[0]) == text


def test_a_text_that_spells_the_end_of_text_does_not_end() -> None:
    loaded = TextTokenizer.load(TOKENIZER.dump(), "tokenizer.json")
    for tokenizer in (TOKENIZER, loaded):
        ids = tokenizer.encode([f"a{END_OF_TEXT}b"])[0]
        assert tokenizer.end_of_text not in ids
        assert tokenizer.decode(ids) == f"a{END_OF_TEXT}b"


def test_loading_gives_back_what_was_dumped() -> None:
    loaded = TextTokenizer.load(TOKENIZER.dump(), "tokenizer.json")
    assert loaded.encode(TEXTS) == TOKENIZER.encode(TEXTS)
    assert (loaded.vocabulary, loaded.end_of_text) == (TOKENIZER.vocabulary, TOKENIZER.end_of_text)


@pytest.mark.parametrize("content", [b"{", b"\xff", TOKENIZER.dump().replace(END_OF_TEXT.encode(), b"<|end|>")])
def test_what_is_not_a_tokenizer_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(DataError, match=r"cache/tokenizer\.json: "):
        TextTokenizer.load(content, "cache/tokenizer.json")


def test_a_vocabulary_below_the_bytes_is_refused() -> None:
    with pytest.raises(DataError, match="256 is too small"):
        TextTokenizer.train(TEXTS, 256)
