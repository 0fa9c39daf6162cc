from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from paceline.journal.reader import read
from paceline.journal.writer import Journal
from paceline.spec.events import MembershipChanged


def say(journal: Journal, reason: str) -> None:
    journal.emit(MembershipChanged, state="joined", reason=reason)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_holds_events_back_until_there_is_room(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, run="r", producer="p")
    say(journal, "before")
    write, room = os.write, [20]

    def full_after_20_bytes(descriptor: int, content: bytes | bytearray) -> int:
        if not room[0]:
            raise OSError(number, os.strerror(number))
        written = write(descriptor, bytes(content[: room[0]]))
        room[0] -= written
        return written

    with monkeypatch.context() as full:
        full.setattr(os, "write", full_after_20_bytes)
        say(journal, "during")
        say(journal, "still")
        assert [e.reason for e in read(tmp_path).events if isinstance(e, MembershipChanged)] == ["before"]
        assert read(tmp_path).torn == ("p.jsonl",)
    say(journal, "after")
    journal.close()
    reading = read(tmp_path)
    reasons = [e.reason for e in reading.events if isinstance(e, MembershipChanged)]
    assert (reasons, reading.torn) == (["before", "during", "still", "after"], ())


def test_any_other_error_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, run="r", producer="p")

    def broken(descriptor: int, content: bytes) -> int:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(os, "write", broken)
        with pytest.raises(OSError, match="Input/output"):
            say(journal, "lost")
