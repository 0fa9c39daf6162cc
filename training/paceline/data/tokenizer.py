"""A byte-level BPE tokenizer: trained on a corpus, stored as one JSON file, able to encode any text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from paceline.spec.errors import DataError

END_OF_TEXT = "<|end_of_text|>"
SMALLEST_VOCABULARY = 257  # every byte, and the end of a text


class TextTokenizer:
    """Text to token ids and back. `end_of_text` is the id that separates documents."""

    def __init__(self, tokenizer: Tokenizer, source: str) -> None:
        end_of_text = tokenizer.token_to_id(END_OF_TEXT)
        if end_of_text is None:
            raise DataError(f"{source}: has no {END_OF_TEXT} token", "prepare the dataset again")
        self._tokenizer = tokenizer
        # a document that happens to spell END_OF_TEXT must not end there
        self._tokenizer.encode_special_tokens = True
        self.vocabulary: int = tokenizer.get_vocab_size()
        self.end_of_text = end_of_text

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int) -> TextTokenizer:
        """Byte-pair encoding of at most `vocabulary` tokens; the same texts always give the same tokenizer."""
        if vocabulary < SMALLEST_VOCABULARY:
            raise DataError(
                f"vocabulary: {vocabulary} is too small: every byte and the end of a text need a token",
                f"ask for {SMALLEST_VOCABULARY} or more",
            )
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer, "the tokenizer just trained")

    @classmethod
    def load(cls, content: bytes, source: str) -> TextTokenizer:
        """From what `dump` wrote. `source` is how messages call it."""
        try:
            tokenizer = Tokenizer.from_str(content.decode())
        except Exception as cause:  # the library raises bare Exception
            raise DataError(f"{source}: not a tokenizer: {cause}", "prepare or fetch the dataset again") from cause
        return cls(tokenizer, source)

    def dump(self) -> bytes:
        """The tokenizer as JSON, in the format of the `tokenizers` library."""
        return self._tokenizer.to_str(pretty=True).encode()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without a separator."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))
