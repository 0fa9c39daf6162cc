"""Conversations and preferences as datasets: what is learned, what stays together, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers

from paceline.cli.model_files import read_template
from paceline.data.chat import ChatTemplate
from paceline.data.conversations import read_samples
from paceline.data.index import TokenDataset
from paceline.data.ledger import combine, digest_hex, replay
from paceline.data.loader import Loader
from paceline.data.mixture import order_of
from paceline.data.prepare_samples import prepare_samples
from paceline.data.tokenizer import TextTokenizer
from paceline.engines.base import IGNORED
from paceline.engines.objectives.reward import last_tokens
from paceline.recipe.method import Method
from paceline.spec.errors import DataError
from paceline.spec.manifest import DatasetManifest

LENGTH = 192


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train(["the line closes up when one drops out of the wind"] * 3, 300)


def conversation(answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": answer}]}


def preference(chosen: str, rejected: str) -> dict[str, Any]:
    return {"prompt": "Say it.", "chosen": chosen, "rejected": rejected}


def prepared(
    directory: Path, method: Method, lines: list[dict[str, Any]], tokenizer: TextTokenizer, **changes: Any
) -> DatasetManifest:
    file = directory / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    standard = {"sequence_length": LENGTH, "template": read_template("chatml", ""), "name": "test", "source": "lines"}
    arguments: dict[str, Any] = standard | changes
    return prepare_samples(
        read_samples(str(file), method),
        method=method,
        tokenizer=tokenizer,
        output=directory / "data",
        **arguments,
    )


def loader(directory: Path, *, sequences: int, rank: int = 0, world: int = 1) -> Loader:
    dataset = TokenDataset.open(directory / "data", sequence_length=LENGTH, verify=True)
    return Loader(
        dataset,
        order_of(dataset, 0),
        sequences_per_step=sequences,
        rank=rank,
        world_size=world,
        micro_sequences=2,
        end_of_text=dataset.manifest.end_of_text,
    )


def learned(tokenizer: TextTokenizer, targets: torch.Tensor) -> list[str]:
    """The text of what is predicted, of every sequence."""
    return [tokenizer.decode([t for t in row.tolist() if t != IGNORED]) for row in targets]


def test_answers_are_predicted_and_nothing_else(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    answers = ["the line closes up.", "one drops out.", "out of the wind."]
    manifest = prepared(tmp_path, "sft", [conversation(answer) for answer in answers], tokenizer)
    assert manifest.samples is not None and manifest.samples.learned > 0
    with loader(tmp_path, sequences=2) as batches:
        found = [
            text for step in range(2) for b in batches.step(step).microbatches for text in learned(tokenizer, b.targets)
        ]
    ends = "<|im_end|>\n"
    assert sorted(set("".join(found).split(ends)) - {""}) == sorted(answers)


def test_conversations_that_share_a_sequence_are_different_documents(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    manifest = prepared(tmp_path, "sft", [conversation("up."), conversation("out.")], tokenizer)
    assert manifest.tokens == LENGTH + 1
    with loader(tmp_path, sequences=2) as batches:
        batch = batches.step(0).microbatches[0]
    assert batch.documents is not None
    documents_of_answers = batch.documents[0][batch.targets[0] != IGNORED].unique()
    assert len(documents_of_answers) == 2


def test_a_pair_stays_together_on_one_rank_in_its_order(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    prepared(tmp_path, "dpo", [preference(f"up {n}.", f"out {n}.") for n in range(8)], tokenizer)
    for rank in range(2):
        with loader(tmp_path, sequences=8, rank=rank, world=2) as batches:
            for batch in batches.step(0).microbatches:
                preferred, other = learned(tokenizer, batch.targets)
                assert preferred.replace("up", "out") == other


def test_the_ledger_of_samples_is_the_same_for_every_number_of_ranks(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    prepared(tmp_path, "dpo", [preference(f"up {n}.", f"out {n}.") for n in range(8)], tokenizer)
    dataset = TokenDataset.open(tmp_path / "data", sequence_length=LENGTH, verify=True)
    [entry] = replay(dataset, order_of(dataset, 0), steps=1, sequences_per_step=8)
    digests = []
    for rank in range(2):
        with loader(tmp_path, sequences=8, rank=rank, world=2) as batches:
            batch = batches.step(0)
        assert (batch.first_index, batch.count) == (entry.first_index, entry.count) == (0, 4)
        digests.append(batch.digest)
    assert digest_hex(combine(digests)) == entry.digest


def test_what_is_learned_is_part_of_a_datasets_identity(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    as_answer = [conversation("up.")]
    as_prompt = [{"messages": [{"role": "assistant", "content": "up."}]}]
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    one, other = (prepared(tmp_path / n, "sft", lines, tokenizer) for n, lines in (("a", as_answer), ("b", as_prompt)))
    assert one.dataset_sha256 != other.dataset_sha256
    again = prepared(tmp_path / "a", "sft", as_answer, tokenizer)
    assert again == one


def test_what_is_too_long_is_left_out_and_counted(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    manifest = prepared(tmp_path, "sft", [conversation("up."), conversation("up " * LENGTH)], tokenizer)
    assert manifest.samples is not None
    assert (manifest.documents, manifest.characters, manifest.samples.left_out) == (1, len("Say it.up."), 1)
    with pytest.raises(DataError, match="nothing fits into 192 tokens"):
        prepared(tmp_path, "sft", [conversation("up " * LENGTH)], tokenizer)


def test_the_longest_that_fits_has_its_last_token_among_the_inputs(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    manifest = prepared(tmp_path, "dpo", [preference("up" * n, "out") for n in range(1, LENGTH)], tokenizer)
    assert manifest.samples is not None and manifest.samples.left_out > 0
    with loader(tmp_path, sequences=2) as batches:
        targets = [batches.step(step).microbatches[0].targets for step in range(manifest.documents)]
    assert max(int(last_tokens(pair).max()) for pair in targets) == LENGTH - 1


def test_another_sequence_length_is_refused(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    prepared(tmp_path, "sft", [conversation("up.")], tokenizer)
    with pytest.raises(DataError, match="laid out for sequences of 192 tokens, not 64"):
        TokenDataset.open(tmp_path / "data", sequence_length=64, verify=False)


def test_a_message_cannot_spell_a_special_token(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    with pytest.raises(DataError, match="lines.jsonl:1: a message of the role assistant spells <|end_of_text|>"):
        prepared(tmp_path, "sft", [conversation("up <|end_of_text|>")], tokenizer)


def test_every_wrong_line_is_named(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    lines = [conversation("up."), {"messages": [{"role": "user", "content": "?"}]}, {"message": []}]
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, "sft", lines, tokenizer)
    messages = [problem.message for problem in caught.value.problems]
    assert "lines.jsonl:2: messages: none is of the role assistant" in messages[0]
    assert any("lines.jsonl:3: message" in message for message in messages)


def test_what_teaches_nothing_is_refused_with_its_line(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    asked: dict[str, Any] = preference("up.", "out.")
    before = [*conversation("We.")["messages"]]
    lines = [
        asked | {"rejected": "up."},
        asked | {"chosen": " "},
        asked | {"prompt": ""},
        asked | {"prompt": []},
        asked | {"prompt": before},
        asked | {"prompt": [*conversation("")["messages"], before[0]]},
    ]
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, "dpo", lines, tokenizer)
    whys = [
        "chosen and rejected are the same, so that nothing is preferred",
        "chosen: is empty",
        "prompt: is empty",
        "prompt: ends with no message that an answer could follow",
        "prompt: ends with no message that an answer could follow",
        "messages.1: the answer is empty: silence would be learned",
    ]
    found = [problem.message.rsplit("lines.jsonl:", 1)[1] for problem in caught.value.problems]
    assert found == [f"{number}: {why}" for number, why in enumerate(whys, start=1)]


def test_every_line_that_a_template_refuses_is_named(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages }}"
    system = {"role": "system", "content": "Be short."}
    lines = [conversation("up."), *({"messages": [system, *conversation(answer)["messages"]]} for answer in "ab")]
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, "sft", lines, tokenizer, template=ChatTemplate(refusing, "model"))
    named = {problem.message.rsplit("lines.jsonl:", 1)[1] for problem in caught.value.problems}
    assert {message.split(":")[0] for message in named if "no system" in message} == {"2", "3"}


def test_answers_within_a_prompt_are_not_compared(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    prompt = [*conversation("one drops out.")["messages"], {"role": "user", "content": "And then?"}]
    prepared(tmp_path, "dpo", [preference("up.", "out.") | {"prompt": prompt}], tokenizer)
    with loader(tmp_path, sequences=2) as batches:
        said = learned(tokenizer, batches.step(0).microbatches[0].targets)
    assert said == ["up.<|im_end|>\n", "out.<|im_end|>\n"]


def test_an_answer_is_tokenised_as_what_follows_its_prompt(tmp_path: Path) -> None:
    """By a tokenizer that puts a space before a text that stands alone, as those of Llama 2 and Mistral do."""
    space = "\u2581"
    merges = [(space, "u"), (f"{space}u", "p")]
    words = ["</s>", "?", "u", "p", space, *("".join(pair) for pair in merges)]
    spaced = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges))
    spaced.normalizer = normalizers.Sequence([normalizers.Prepend(space), normalizers.Replace(" ", space)])
    spaced.add_special_tokens(["</s>"])
    turns = ChatTemplate(
        "{% for m in messages %}{{ '?' if m.role == 'user' else ' ' + m.content }}{% endfor %}", "test"
    )
    prepared(tmp_path, "sft", [conversation("up")], TextTokenizer(spaced, "test"), template=turns)
    with loader(tmp_path, sequences=2) as batches:
        targets = batches.step(0).microbatches[0].targets[0]
    assert targets[targets != IGNORED].tolist() == [words.index(f"{space}up")]


def test_an_answer_that_would_share_a_token_with_its_prompt_has_its_own(
    tmp_path: Path, tokenizer: TextTokenizer
) -> None:
    assert len(tokenizer.encode(["the line"])[0]) == 2  # ` line` is one token
    turns = ChatTemplate("{% for m in messages %}{{ 'the ' if m.role == 'user' else m.content }}{% endfor %}", "test")
    prepared(tmp_path, "sft", [conversation("line")], tokenizer, template=turns)
    with loader(tmp_path, sequences=2) as batches:
        assert learned(tokenizer, batches.step(0).microbatches[0].targets)[0] == "line"


def test_held_out_conversations_are_not_trained_on(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    manifest = prepared(tmp_path, "sft", [conversation(f"up {n}.") for n in range(10)], tokenizer, held_out=0.2)
    assert (manifest.documents, manifest.held_out[0].documents) == (8, 2)
    assert np.isfinite(manifest.unigram_entropy)
