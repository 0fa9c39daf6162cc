"""The figures of the overhead's table, from steps that take what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import overhead


def test_what_is_added_is_the_ratio_of_the_medians_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(directory: Path, data: Path, overrides: tuple[str, ...]) -> tuple[list[overhead.Block], int]:
        slower = 1.0 if overrides else 1.02
        blocks = [([slower, slower, 9.0], [1.0, 1.0, 1.0]), ([2.2, 2.2], [2.0, 2.0]), ([0.5, 0.5], [0.5, 0.5])]
        return [{"wall": block, "trainer": ([1.0], [1.0])} for block in blocks], 3

    monkeypatch.setattr(overhead, "train", train)
    monkeypatch.setattr(overhead, "dataset", lambda directory: directory)
    report = overhead.measure(2, lambda text: None)
    assert report.table.rows == (
        ("everything: wall clock", "6", "1000", "2.00", "0.00", "10.00"),
        ("everything: what the trainer computes", "6", "1000", "0.00", "0.00", "0.00"),
        ("without the sentinel: wall clock", "6", "1000", "0.00", "0.00", "10.00"),
        ("without the sentinel: what the trainer computes", "6", "1000", "0.00", "0.00", "0.00"),
    )
    assert "every 3 steps" in " ".join(report.notes)
