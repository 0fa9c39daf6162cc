"""Amounts as a person reads them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """0.042 s, 1.23 s, 42.0 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 59.95:
        digits = 3 if seconds < 0.0995 else 2 if seconds < 9.995 else 1
        return f"{seconds:.{digits}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min"


def offset(seconds: float) -> str:
    """A moment of the run: 0:12.700 or 1:02:12.700 after its start, -0:08.000 before it."""
    thousandths = round(abs(seconds) * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{'-' if seconds < 0 and thousandths else ''}{clock}:{rest / 1000:06.3f}"


def share(part: float, whole: float) -> str:
    """Per cent with one decimal; what is there but rounds to nothing is not shown as nothing."""
    per_cent = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if 0 < per_cent < 0.05 else f"{per_cent:.1f} %"


def size(count: int) -> str:
    """Bytes in decimal multiples: 512 B, 9.0 MB."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 999.5 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def counted(number: int, noun: str) -> str:
    """1 step, 2 steps, 1,000 steps."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: list[str]) -> str:
    """The names, or how many there are when they would fill the line."""
    return ", ".join(names) if len(names) <= 4 else f"{len(names):,} nodes"
