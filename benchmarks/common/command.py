"""The command line that all benchmarks share: the table on stdout, talk on stderr, results only when asked for."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.common.machine import machine
from benchmarks.common.report import Report
from paceline.spec.errors import EXIT_INTERRUPTED, EXIT_OK, PacelineError

RESULTS = Path(__file__).resolve().parent.parent / "results"

Say = Callable[[str], None]
Measure = Callable[[int, Say], Report]


def command(name: str, description: str | None, measure: Measure, *, repeat: int) -> int:
    """Run `measure(repetitions, say)`, print its table, with --save write results/<name>.md; the exit code.

    Ctrl-C and SIGTERM unwind `measure`, so that its contexts end what they started.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--repeat", type=_positive, default=repeat, metavar="N", help=f"repetitions; {repeat} if not given"
    )
    parser.add_argument("--save", action="store_true", help=f"write the table to benchmarks/results/{name}.md too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    facts = machine()  # before the measurement itself is the load
    try:
        report = measure(arguments.repeat, _say)
    except PacelineError as error:
        _say(error.render())
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return EXIT_INTERRUPTED
    text = report.markdown(facts)
    print(text)
    if arguments.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    return EXIT_OK


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
