"""Turn conversations or preferences into a dataset whose samples are laid out in advance.

It has the files of every dataset. A sample is one sequence of whole conversations, or the two sequences of a
preference; which tokens are learned is a bit of theirs, so that the ledger proves that too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

import numpy as np

from paceline.clients.object_store import DirectoryStore
from paceline.data.chat import ChatTemplate
from paceline.data.conversations import Conversation, Sample
from paceline.data.packing import LEARNED, Tokens, fill, pack
from paceline.data.prepare import commit, divided, entropy, write_file
from paceline.data.progress import Progress, silent
from paceline.data.tokenizer import TextTokenizer
from paceline.recipe.method import PAIRS, Method
from paceline.spec.errors import DataError, Problem
from paceline.spec.manifest import DatasetManifest, SampleFormat, TokenShard

_SHOWN_PROBLEMS = 20


def prepare_samples(
    samples: Sequence[Sample],
    *,
    method: Method,
    sequence_length: int,
    template: ChatTemplate,
    tokenizer: TextTokenizer,
    name: str,
    source: str,
    output: Path,
    held_out: float = 0.0,
    vocabulary: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> DatasetManifest:
    """Write the dataset of `samples` into the directory `output` and return its manifest.

    Of a preference only the answers that are compared are learned, not those in its prompt. What does not fit into a
    sequence with the end-of-text token behind it is left out and counted: half an answer would teach to stop there. The
    last `held_out` part of the shuffled samples is not trained on. The same input gives the same files. DataError when
    nothing is left, when a message spells a special token, which would not be read as text, when the template refuses a
    conversation, or when `output` cannot be written.
    """
    if problems := _spelled_specials(samples, tokenizer):
        raise DataError.of(problems[:_SHOWN_PROBLEMS])
    trained, kept_back = divided(samples, source, seed, held_out)
    vocabulary = max(vocabulary, tokenizer.vocabulary)
    store = DirectoryStore(output)

    def encoded(part: Sequence[Sample], what: str) -> list[tuple[Sample, list[Tokens]]]:
        found: list[tuple[Sample, list[Tokens]]] = []
        problems: list[Problem] = []
        for done, sample in enumerate(part):
            where, together = sample
            progress(f"tokenise {what}", done, len(part))
            try:
                tokens = [_encode(one, template, tokenizer, only_last=method in PAIRS) for one in together]
                found.append((sample, tokens))
            except DataError as cause:
                problems += [replace(problem, message=f"{where}: {problem.message}") for problem in cause.problems]
        progress(f"tokenise {what}", len(part), len(part))
        if problems:
            raise DataError.of(problems[:_SHOWN_PROBLEMS])
        if any((t & ~np.uint32(LEARNED) == tokenizer.end_of_text).any() for _, tokens in found for t in tokens):
            raise DataError(
                f"{source}: the chat template ends turns with the token that ends documents, so that packed"
                " conversations cannot be told apart",
                "name a token that stands in no conversation with --end-of-text, for example <unk>",
            )
        # a sequence has one token more than targets, and that is for the end-of-text
        return [(sample, tokens) for sample, tokens in found if max(map(len, tokens)) <= sequence_length]

    def shard(part: list[tuple[Sample, list[Tokens]]], stem: str) -> tuple[TokenShard, Tokens]:
        rows = _rows([tokens for _, tokens in part], sequence_length + 1, tokenizer.end_of_text, pairs=method in PAIRS)
        tokens = np.concatenate(rows)
        file = write_file(store, f"{stem}-00000", ".bin", tokens.astype("<u4").tobytes())
        return TokenShard(**file.model_dump(), tokens=len(tokens), documents=len(part)), tokens

    fitting, fitting_back = encoded(trained, "tokens"), encoded(kept_back, "held-out")
    if not fitting or (kept_back and not fitting_back):
        raise DataError(f"{source}: nothing fits into {sequence_length} tokens", "raise --sequence-length")
    try:
        tokenizer_file = write_file(store, "tokenizer", ".json", tokenizer.dump())
        trained_shard, tokens = shard(fitting, "samples")
        held_out_shards = (shard(fitting_back, "held-out")[0],) if kept_back else ()
        manifest = DatasetManifest(
            name=name,
            created=datetime.now(UTC),
            source=source,
            documents=len(fitting),
            characters=sum(len(t.content) for (_, together), _ in fitting for c in together for t in c.messages),
            tokens=len(tokens),
            token_bytes=4,
            vocabulary=vocabulary,
            unigram_entropy=entropy(np.bincount(tokens & ~np.uint32(LEARNED), minlength=vocabulary)),
            end_of_text=tokenizer.end_of_text,
            tokenizer=tokenizer_file,
            shards=(trained_shard,),
            held_out=held_out_shards,
            samples=SampleFormat(
                method="dpo" if method in PAIRS else "sft",
                sequence_length=sequence_length,
                learned=int((tokens >= LEARNED).sum()),
                left_out=len(samples) - len(fitting) - len(fitting_back),
            ),
        )
        return commit(store, manifest)
    except OSError as cause:
        raise DataError(
            f"{output}: the dataset cannot be written: {cause.strerror or cause}",
            "choose a directory that you may write to, with room; a dataset that was there is unharmed",
        ) from cause


def _encode(conversation: Conversation, template: ChatTemplate, tokenizer: TextTokenizer, *, only_last: bool) -> Tokens:
    pieces = template.pieces([turn.model_dump() for turn in conversation.messages], only_last=only_last)
    bits = [LEARNED if piece.learned else 0 for piece in pieces]
    ids = _ids([piece.text for piece in pieces], tokenizer)
    return np.concatenate(
        [np.array(part, dtype=np.uint32) | np.uint32(bit) for part, bit in zip(ids, bits, strict=True)]
    )


def _ids(pieces: Sequence[str], tokenizer: TextTokenizer) -> list[list[int]]:
    """The tokens of each piece as a model meets them: a prompt is read with all that is before it, and an answer begins
    with a token of its own.

    So a piece is what it adds to the tokens of the text before it: SentencePiece's tokenizers (Llama 2, Mistral) put a
    space before a text that stands alone. Where a token would hold the end of a prompt and the begin of its answer,
    each piece is tokenised alone.
    """
    found: list[list[int]] = []
    before: list[int] = []
    for ids in tokenizer.encode_with_specials(list(accumulate(pieces))):
        if ids[: len(before)] != before:
            return tokenizer.encode_with_specials(pieces)
        found.append(ids[len(before) :])
        before = ids
    return found


def _rows(samples: list[list[Tokens]], length: int, end_of_text: int, *, pairs: bool) -> list[Tokens]:
    if pairs:
        return [fill([tokens], length, end_of_text) for sample in samples for tokens in sample]
    conversations = [sample[0] for sample in samples]
    together = pack([len(tokens) + 1 for tokens in conversations], length)
    return [fill([conversations[number] for number in row], length, end_of_text) for row in together]


def _spelled_specials(samples: Sequence[Sample], tokenizer: TextTokenizer) -> list[Problem]:
    return [
        Problem(message=f"{where}: a message of the role {turn.role} spells {special}", hint="take it out of the text")
        for where, together in samples
        for conversation in together
        for turn in conversation.messages
        for special in tokenizer.specials
        if special in turn.content
    ]
