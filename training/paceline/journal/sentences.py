"""Each event as a sentence for a person."""

from __future__ import annotations

from paceline.journal.units import counted, duration, share, size
from paceline.spec import events as ev

_STANDING = {
    "joined": "Joined the run",
    "active": "Became a member",
    "spare": "Stands by as a spare",
    "lost": "Was lost",
    "left": "Left the run",
}


def sentence(event: ev.AnyEvent) -> str:
    """What `event` says, without its time and without the node that it is about."""
    match event:
        case ev.RunStarted():
            spares = f" and {counted(event.spares, 'spare')}" if event.spares else ""
            return f"The run of {event.recipe} started on {counted(event.nodes, 'node')}{spares}."
        case ev.RunFinished():
            return f"The run {event.outcome} at step {event.step:,}{_because(event.reason)}."
        case ev.PhaseChanged():
            return f"Now in phase {event.activity.value.replace('_', ' ')}{_because(event.cause)}."
        case ev.GenerationOpened():
            state = "" if event.restore_from == "nothing" else f", from step {event.restore_step:,}, {_source(event)}"
            members = ", ".join(event.ranks) if len(event.ranks) <= 4 else f"{len(event.ranks):,} nodes"
            return f"Generation {event.generation} opened with {members}{state}: {_words(event.cause)}."
        case ev.StepFinished():
            loss = "" if event.loss is None else f", loss {event.loss:.3f}"
            return f"Step {event.step:,} finished in {duration(event.seconds)}{loss}."
        case ev.DatasetPrepared():
            amount = f"{counted(event.documents, 'document')}, {counted(event.tokens, 'token')}"
            return f"Dataset {event.dataset} is there: {amount}, vocabulary {event.vocabulary:,}."
        case ev.DataConsumed():
            return f"Step {event.step + 1:,} consumed {counted(event.count, 'sample')} from {event.first_index:,} on."
        case ev.EvaluationFinished():
            parts = [f"loss {event.loss:.3f} over {counted(event.tokens, 'token')}"]
            if event.bits_per_byte is not None:
                parts.append(f"{event.bits_per_byte:.3f} bits per byte")
            parts += [f"{name} {share(result.accuracy, 1)} right" for name, result in event.tasks.items()]
            return f"Evaluated at step {event.step:,}: {', '.join(parts)}."
        case ev.StackDeployed():
            amount = counted(event.resources, "resource")
            return f"Stack {event.stack} deployed: {amount} in {duration(event.seconds)}."
        case ev.MembershipChanged():
            return f"{_STANDING[event.state]}{_because(event.reason)}."
        case _:
            return _of_checkpoint(event) or _of_graphs(event) or _of_fault(event)


def _of_checkpoint(event: ev.AnyEvent) -> str | None:
    match event:
        case ev.SnapshotTaken():
            return f"Snapshot of step {event.step:,} taken: {size(event.bytes)} in {duration(event.seconds)}."
        case ev.SnapshotReplicated():
            amount = f"{size(event.bytes)} in {duration(event.seconds)}"
            return f"Snapshot of step {event.step:,} copied to {event.to_node}: {amount}."
        case ev.CheckpointPersisted():
            amount = f"{size(event.bytes)} in {duration(event.seconds)}"
            return f"A file of the checkpoint of step {event.step:,} is durable: {amount}."
        case ev.CheckpointCommitted():
            amount = f"{counted(event.files, 'file')}, {size(event.bytes)}"
            return f"Checkpoint of step {event.step:,} committed: {amount}, at {event.uri}."
        case ev.CheckpointVerified():
            amount = f"{counted(event.files, 'file')}, {size(event.bytes)} in {duration(event.seconds)}"
            return f"Checkpoint of step {event.step:,} read back and verified: {amount}."
        case ev.CheckpointRejected():
            step = "" if event.step is None else f" of step {event.step:,}"
            return f"Checkpoint{step} refused: {event.reason} ({event.uri})."
        case ev.CheckpointFailed():
            return f"Checkpoint of step {event.step:,} could not be saved: {event.reason} ({event.uri})."
        case ev.CheckpointRestored():
            amount = f"{size(event.bytes)} in {duration(event.seconds)}"
            return f"Step {event.step:,} restored from {_place(event.source)}: {amount}."
        case _:
            return None


def _of_graphs(event: ev.AnyEvent) -> str | None:
    match event:
        case ev.GraphsCompiled():
            amount = f"{counted(event.graphs, 'graph')}, {size(event.bytes)}, in {duration(event.seconds)}"
            return f"Compiled ahead: {amount}; kept at {event.uri}."
        case ev.GraphsFetched():
            amount = f"{counted(event.graphs, 'graph')}, {size(event.bytes)}, in {duration(event.seconds)}"
            return f"Compiled graphs fetched and verified: {amount}."
        case ev.GraphsCounted():
            hit = "" if event.hit is None else f"{event.hit:,} used, "
            return f"Of {counted(event.expected, 'graph')} compiled ahead {hit}and {event.missed:,} missing."
        case ev.CompileMissed():
            return f"Graph {event.module} was not compiled ahead: compiled on the way to step {event.step:,}."
        case _:
            return None


def _of_fault(event: ev.AnyEvent) -> str:
    match event:
        case ev.FaultInjected():
            return f"Fault injected on purpose: {_words(event.fault)}."
        case ev.FaultDetected():
            return f"Fault detected: {_words(event.fault)}: {event.evidence}."
        case ev.HangJudged():
            return f"Nothing moved for {duration(event.idle_seconds)}: {_words(event.fault_class)}: {event.reason}."
        case ev.CorruptionJudged():
            return f"Step {event.step:,} was suspicious, {event.suspicion}; {event.outcome}: {event.reason}."
        case ev.SentinelPaced():
            why = f"a check takes {event.check_seconds:.3g} s, a step {event.step_seconds:.3g} s"
            return f"The state is checked every {event.after} steps instead of {event.before}: {why}."
        case ev.CadenceChanged():
            costs = f"one stalls {event.stall_seconds:.3g} s and takes storage {event.absorb_seconds:.3g} s"
            why = f"{costs}, a step takes {event.step_seconds:.3g} s, {event.failures_per_day:.3g} failures a day"
            return f"Durable checkpoints come every {event.after} steps instead of {event.before}: {why}."
        case ev.StragglerFound():
            times = f"{event.factor:.1f} times as long as its peers for {event.phase}"
            return f"Rank {event.slow_rank} on {event.slow_node} has needed {times} for {event.steps} steps."
        case ev.FaultClassified():
            return f"Fault classified: {_words(event.fault)} is {_words(event.fault_class)}."
        case ev.ActionDecided(action="none"):
            return f"{event.reason[:1].upper()}{event.reason[1:]}."
        case ev.ActionDecided():
            return f"Decided to {_words(event.action)}{_because(event.reason)}."
        case ev.ActionStarted():
            return f"Began to {_words(event.action)}."
        case ev.ActionFinished():
            return f"To {_words(event.action)} {event.outcome} after {duration(event.seconds)}."
        case _:
            raise TypeError(f"no sentence for {event.kind}")


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _source(event: ev.GenerationOpened) -> str:
    return f"restored from {_place(event.restore_from)}"


def _place(source: str) -> str:
    return "memory" if source == "memory" else "a checkpoint"


def _words(name: str) -> str:
    return name.replace("_", " ")
