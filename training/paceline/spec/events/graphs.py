"""Events of graphs that are compiled ahead of a run."""

from __future__ import annotations

from typing import Literal

from paceline.spec.events.base import Event


class GraphsCompiled(Event):
    """Before the run its graphs were compiled and are kept at `uri`; `seconds` are those of the whole warm-up."""

    kind: Literal["graphs.compiled"] = "graphs.compiled"
    uri: str
    graphs: int
    bytes: int
    seconds: float


class GraphsFetched(Event):
    """A node has the graphs at `uri`, each with the hash that their manifest says."""

    kind: Literal["graphs.fetched"] = "graphs.fetched"
    uri: str
    graphs: int
    bytes: int
    seconds: float


class GraphsCounted(Event):
    """After the first step of a generation on one node: of `expected` graphs that were compiled ahead `hit` have been
    read, None where its file system does not say; `missed` had to be compiled on the node."""

    kind: Literal["graphs.counted"] = "graphs.counted"
    step: int
    expected: int
    hit: int | None = None
    missed: int


class CompileMissed(Event):
    """Graph `module` was not compiled ahead: the node compiled it while everybody waited, on the way to the state after
    `step` steps."""

    kind: Literal["compile.missed"] = "compile.missed"
    step: int
    module: str


GraphEvent = GraphsCompiled | GraphsFetched | GraphsCounted | CompileMissed
