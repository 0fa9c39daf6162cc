"""What a node says that it does, and what it does while it says nothing: the ground that the ledger books upon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paceline.journal.history import Generation, History
from paceline.journal.timeline import Timeline, microseconds
from paceline.spec.events import (
    Activity,
    AnyEvent,
    CheckpointRestored,
    GenerationOpened,
    MembershipChanged,
    PhaseChanged,
    RunStarted,
    SpareLent,
    SpareReturned,
    StepFinished,
)

# Before its first step in a later generation, a member that says one of these is only on its way there.
_ON_THE_WAY = (Activity.INITIALISE, Activity.PRODUCTIVE, Activity.IDLE_RESERVED)

# The phases that an event ends which is no `phase.changed`.
_ENDED_BY: dict[type[AnyEvent], Activity] = {CheckpointRestored: Activity.RESTORE, SpareReturned: Activity.LENT}


def paint_phases(timelines: Mapping[str, Timeline], events: Sequence[AnyEvent], past: History) -> None:
    """Book all time of every node to the phase it was in; productive phases still contain the time between steps."""
    of_node: dict[str, list[AnyEvent]] = {node: [] for node in timelines}
    for event in events:
        if isinstance(event, RunStarted | GenerationOpened):
            for heard in of_node.values():
                heard.append(event)
        elif event.node:
            of_node[event.node].append(event)
    for node, heard in of_node.items():
        _paint_node(timelines[node], node, heard, past)


def _paint_node(timeline: Timeline, node: str, events: Sequence[AnyEvent], past: History) -> None:
    generations = iter(past.generations)
    state = _State(node)
    since = past.windows[0].start
    for event in events:
        before = state.activity, state.cause
        if isinstance(event, GenerationOpened):
            state.enter(next(generations))
        else:
            state.hear(event)
        if (state.activity, state.cause) != before:
            time = microseconds(event.time)
            timeline.paint(since, time, *before)
            since = time
    timeline.paint(since, past.windows[-1].end, state.activity, state.cause)


class _State:
    """What is known of one node at one moment.

    `restarting` is why it has to, until its first step; `blame` is why the generation left it behind as lost.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self.started = False
        self._reset()

    def _reset(self) -> None:
        self.standing: str | None = None
        self.phase: Activity | None = None
        self.reason: str | None = None
        self.restarting: str | None = None
        self.blame: str | None = None

    @property
    def activity(self) -> Activity:
        if self.standing in ("lost", "left"):
            return Activity.DOWN
        if self.restarting is not None and (self.phase is None or self.phase in _ON_THE_WAY):
            return Activity.RESTART
        if self.phase is not None:
            return self.phase
        if self.standing == "active":
            return Activity.INITIALISE
        return Activity.IDLE_RESERVED if self.standing == "spare" else Activity.UNKNOWN

    @property
    def cause(self) -> str | None:
        return self.restarting or self.reason

    def enter(self, generation: Generation) -> None:
        """A generation opened, with this node or without it."""
        opening = generation.opening
        self.blame = generation.cause if self.node in opening.lost_nodes else None
        if self.node in opening.ranks:
            self._stand("active", None)
            self.restarting = None if generation.is_first else generation.cause
        elif self.node in opening.lost_nodes or self.standing == "lost":
            self._stand("lost", self.reason or generation.cause)
        elif self.standing == "active":
            self._stand("spare", None)

    def hear(self, event: AnyEvent) -> None:
        """The node said something, or the run started."""
        if isinstance(event, RunStarted):
            if self.started:  # a resume: nothing holds any more
                self._reset()
            self.started = True
        elif isinstance(event, MembershipChanged):
            self._change(event.state, event.reason)
        elif isinstance(event, PhaseChanged):
            self.phase, self.reason = event.activity, event.cause
        elif isinstance(event, StepFinished):
            self.phase, self.reason, self.restarting = Activity.PRODUCTIVE, None, None
        elif isinstance(event, SpareLent):
            self.phase, self.reason = Activity.LENT, None
        elif type(event) in _ENDED_BY and self.phase is _ENDED_BY[type(event)]:
            self.phase = None

    def _change(self, state: str, reason: str) -> None:
        if state == "active" or (state == "joined" and self.standing is None):
            self.standing = state
        elif state == "joined" and self.standing in ("active", "spare"):
            pass  # a new coordinator heard of it for the first time
        elif state == "lost" and (self.standing == "active" or self.blame):
            self._stand("lost", self.blame)  # of a member, the generation that opens next says why
        else:
            self._stand(state, reason if state in ("lost", "left") else None)

    def _stand(self, standing: str, reason: str | None) -> None:
        self.standing, self.phase, self.reason, self.restarting = standing, None, reason, None
