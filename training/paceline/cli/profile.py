"""`paceline profile`: ask a run that is under way for a trace of its next steps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from paceline.cli.console import Output, OutputOption, print_json

POLL_SECONDS = 0.5


def profile(
    directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a run that is under way.")],
    steps: Annotated[int, typer.Option(min=1, max=100, help="How many steps to trace.")] = 3,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the trace.")] = 300.0,
    output: OutputOption = Output.TEXT,
) -> None:
    """Trace the next steps of a run's rank 0; the file opens in Perfetto or chrome://tracing."""
    from paceline.data.verify import read_run
    from paceline.spec.errors import TimeOutError
    from paceline.spec.profile import PROFILE_DIRECTORY, PROFILE_REQUEST, ProfileRequest

    read_run(directory)
    traces = directory / PROFILE_DIRECTORY
    before = set(traces.glob("*.json"))
    request = directory / PROFILE_REQUEST
    temporary = request.with_suffix(".part")
    temporary.write_text(ProfileRequest(steps=steps).model_dump_json(), encoding="utf-8")
    temporary.replace(request)
    deadline = time.monotonic() + wait
    try:
        while not (found := set(traces.glob("*.json")) - before):
            if time.monotonic() > deadline:
                raise TimeOutError(
                    f"{directory}: no trace after {wait:.0f} s", "is the run under way? `paceline report` says"
                )
            time.sleep(POLL_SECONDS)
    finally:
        request.unlink(missing_ok=True)
    trace = max(found)
    if output is Output.JSON:
        print_json({"trace": str(trace), "bytes": trace.stat().st_size})
    else:
        typer.echo(str(trace))
