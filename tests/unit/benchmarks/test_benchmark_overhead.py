"""The figures of the overhead's table, from steps that take what is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import overhead


def test_what_is_added_is_the_difference_of_the_medians_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(directory: Path, data: Path, case: overhead.Case) -> list[overhead.Block]:
        slower = 1.0 if "no sentinel" in case.title else 1.02
        blocks = [([slower, slower, 9.0], [1.0, 1.0, 1.0]), ([2.2, 2.2], [2.0, 2.0]), ([0.5, 0.5], [0.5, 0.5])]
        return [{"wall": block, "trainer": ([1.0], [1.0])} for block in blocks]

    monkeypatch.setattr(overhead, "train", train)
    monkeypatch.setattr(overhead, "dataset", lambda directory: directory)
    report = overhead.measure(2, lambda text: None)
    everything, nothing = ("20.00", "0.00", "200.00", "2.00"), ("0.00", "0.00", "0.00", "0.00")
    assert report.table.rows[:4] == (
        ("short steps: wall clock", "6", "1000.0", *everything),
        ("short steps: trainer computes", "6", "1000.0", *nothing),
        ("short steps, no sentinel: wall clock", "6", "1000.0", "0.00", "0.00", "200.00", "0.00"),
        ("short steps, no sentinel: trainer computes", "6", "1000.0", *nothing),
    )
    assert [row[0] for row in report.table.rows[4::2]] == [
        "long steps: wall clock",
        "long steps, no sentinel: wall clock",
    ]


def test_the_interval_of_many_blocks_holds_the_middle_ones() -> None:
    row = overhead._row("x", [([1.0 + number / 1000], [1.0]) for number in range(201)])
    assert row == ("x", "201", "1000.0", "100.00", "86.00", "114.00", "10.00")
