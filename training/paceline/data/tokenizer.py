"""Text to token ids and back: a byte-level BPE trained on a corpus, or the tokenizer of a model that exists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from paceline.spec.errors import DataError

TOKENIZER_NAME = "tokenizer.json"  # of a model, by the custom of Hugging Face
END_OF_TEXT = "<|end_of_text|>"
KNOWN_ENDS = (END_OF_TEXT, "<|endoftext|>", "</s>")
"""How tokenizers call the end of a document, the first that is found: ours and Llama 3's, GPT-2's, Llama 2's."""
SMALLEST_VOCABULARY = 257  # every byte, and the end of a text


class TextTokenizer:
    """Text to token ids and back. `end_of_text` is the id that separates documents; `specials` are the texts of the
    tokens that stand for no text."""

    def __init__(self, tokenizer: Tokenizer, source: str, end_of_text: str | None = None) -> None:
        wanted = KNOWN_ENDS if end_of_text is None else (end_of_text,)
        ids = [number for name in wanted if (number := tokenizer.token_to_id(name)) is not None]
        if not ids:
            raise DataError(
                f"{source}: has no token {' or '.join(wanted)} to end a document with",
                "name the one that it has with --end-of-text",
            )
        self._tokenizer = tokenizer
        # a document that happens to spell a special token must not end there
        self._tokenizer.encode_special_tokens = True
        self.vocabulary: int = tokenizer.get_vocab_size()
        self.end_of_text = ids[0]
        added = tokenizer.get_added_tokens_decoder().values()
        self.specials = tuple(sorted(token.content for token in added if token.special))

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
    def load(cls, content: bytes, source: str, end_of_text: str | None = None) -> TextTokenizer:
        """From what `dump` wrote, or any `tokenizer.json`. `source` is how messages call it; `end_of_text` names the
        token that ends a document, one of KNOWN_ENDS if not given."""
        try:
            tokenizer = Tokenizer.from_str(content.decode())
        except Exception as cause:  # the library raises bare Exception
            raise DataError(f"{source}: not a tokenizer: {cause}", "give a tokenizer.json") from cause
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return cls(tokenizer, source, end_of_text)

    def dump(self) -> bytes:
        """The tokenizer as JSON, in the format of the `tokenizers` library."""
        return self._tokenizer.to_str(pretty=True).encode()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without a separator."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_with_specials(self, texts: Sequence[str]) -> list[list[int]]:
        """As `encode`, where a special token that a text spells is that token."""
        self._tokenizer.encode_special_tokens = False
        try:
            return self.encode(texts)
        finally:
            self._tokenizer.encode_special_tokens = True

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))
