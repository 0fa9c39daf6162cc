from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paceline.simulate.ledger import JobLedger
from paceline.spec.events import Activity

SECONDS = st.floats(0, 1e5, allow_nan=False)
MOVES = st.lists(st.tuples(SECONDS, SECONDS, st.floats(0.01, 1e4), SECONDS, st.booleans()), max_size=20)


@given(stall=st.floats(0, 1), moves=MOVES)
def test_every_microsecond_is_booked_once_whatever_happens(
    stall: float, moves: list[tuple[float, float, float, float, bool]]
) -> None:
    book, now = JobLedger(stall), 0.0
    for wait, stand, every, back, forever in moves:
        now += wait
        book.book_until(now)
        book.go_back(every, back)
        book.stand([(stand, Activity.DETECT), (None if forever else 1.0, Activity.DOWN)])
    now += 10
    book.book_until(now)
    assert sum(book.totals().values()) == round(now * 1e6)
    assert min(book.totals().values(), default=0) >= 0


def test_a_fault_while_it_restarts_ends_the_restart() -> None:
    book = JobLedger(0)
    book.book_until(100)
    book.stand([(50, Activity.RESTART)])
    book.book_until(120)
    book.stand([(10, Activity.DETECT)])
    book.book_until(200)
    seconds = {activity: amount // 10**6 for activity, amount in book.totals().items()}
    assert seconds == {Activity.PRODUCTIVE: 170, Activity.RESTART: 20, Activity.DETECT: 10}


def test_it_goes_back_to_the_newest_checkpoint_that_is_old_enough() -> None:
    book = JobLedger(0)
    book.book_until(95)
    book.go_back(every=30, back=10)
    assert book.totals() == {Activity.PRODUCTIVE: 60 * 10**6, Activity.LOST_WORK: 35 * 10**6}
    book.go_back(every=30, back=0)
    assert book.totals()[Activity.PRODUCTIVE] == 60 * 10**6
