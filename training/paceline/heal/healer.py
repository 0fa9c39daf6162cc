"""One round over a fleet: find out what each node needs next, and do it.

Everything that must not be forgotten is written before it is done: the incident on the node's own object, what was
done in the memory. A healer that is killed anywhere, and another one that starts, take the next step of the same
incident. A round never waits; what takes time is looked at again in the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from paceline.catalog.faults import faults
from paceline.clients.object_store import ObjectStore
from paceline.heal.baselines import Baselines, slowness, too_slow
from paceline.heal.case import escalated, isolated, joined, opened, remedy_of, unreachable
from paceline.heal.decide import Decision, Situation, Verdict, decide
from paceline.heal.evidence import bundle
from paceline.heal.fleets.base import Fleet, Node
from paceline.heal.memory import Memory
from paceline.heal.policy import Policy
from paceline.heal.progress import Step, advance
from paceline.heal.requalify import on_one_leaf
from paceline.heal.spares import spares, spares_wanted
from paceline.spec.errors import PacelineError
from paceline.spec.events import ActionDecided, ActionFinished, ActionStarted, FaultClassified, FaultDetected
from paceline.spec.healing import Case, Phase, Remedy
from paceline.spec.health import Action, Device, Fault, Finding, Result

Tell = Callable[..., None]
"""`journal.emit`, or whatever takes an event's kind and its fields."""

# what a decision was about: node, check, fault, device
_Subject = tuple[str, str, str | None, Device | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What one round saw. `refused` are the nodes whose cluster said no; they are tried again."""

    nodes: int
    phases: dict[Phase, int]
    spares: int
    wanted: int
    held: int
    refused: tuple[str, ...]


class Healer:
    """Cares for one fleet. With `dry_run` it decides and tells, and touches nothing.

    `store` holds the evidence; `memory` and it are the only things beside the fleet that it writes to.
    """

    def __init__(
        self, fleet: Fleet, *, policy: Policy, memory: Memory, store: ObjectStore, tell: Tell, dry_run: bool = False
    ) -> None:
        self._fleet = fleet
        self._policy = policy
        self._memory = memory
        self._store = store
        self._tell = tell
        self._dry_run = dry_run
        self._baselines = Baselines(store, policy)
        self._nodes: dict[str, Node] = {}
        self._told: dict[_Subject, tuple[str, str]] = {}
        self._seen: set[_Subject] = set()
        self._held = 0

    def round(self, now: datetime) -> Round:
        """Look at every node once. ClusterError when the fleet cannot even be listed."""
        self._nodes = {node.name: node for node in self._fleet.nodes()}
        self._held = 0
        refused = []
        if not self._dry_run:
            self._close_vanished(now)
        self._seen = set()
        for name, node in list(self._nodes.items()):
            if not (node.case or node.findings or node.silent_since or node.untested):
                continue
            try:
                self._care(name, now)
            except PacelineError as error:  # one node's trouble is not the others'
                refused.append(name)
                self._once((name, "healer", None, None), ("refused", str(error)), "none", name)
        self._told = {key: said for key, said in self._told.items() if key in self._seen}
        wanted = spares_wanted(len(self._nodes), self._policy)
        if self._policy.top_up and not self._dry_run:
            self._top_up(wanted)
        cases = [node.case for node in self._nodes.values() if node.case]
        return Round(
            nodes=len(self._nodes),
            phases={phase: sum(1 for case in cases if case.phase is phase) for phase in Phase},
            spares=spares(list(self._nodes.values())),
            wanted=wanted,
            held=self._held,
            refused=tuple(refused),
        )

    def _care(self, name: str, now: datetime) -> None:
        node = self._nodes[name]
        if node.case is None and node.untested and not self._dry_run:
            self._write(name, joined(node, now))
        elif node.case is None:
            self._consider(node, now)
        while (case := self._nodes[name].case) is not None and not self._dry_run:
            step = advance(self._measured(case, now), list(self._nodes.values()), self._policy, now)
            if not self._take(case, step, now):
                break

    def _consider(self, node: Node, now: datetime) -> None:
        """Decide about everything that a node in service reports; of what is to be done, the gravest is."""
        silent = unreachable(node, self._policy, now)
        acting: list[tuple[Decision, Finding, Fault]] = []
        for finding in (*node.findings, *([silent] if silent else [])):
            if finding.result is Result.PASS or self._is_counted(finding):
                continue
            decision, fault = self._decide(node, finding, now)
            if decision.verdict is Verdict.ACT and fault is not None:
                acting.append((decision, finding, fault))
            elif decision.verdict is Verdict.COUNT and not self._dry_run:
                self._memory.keep(_counted(finding, decision.action, now))
            self._held += decision.verdict is Verdict.HOLD
        if acting and not self._dry_run:
            decision, finding, fault = max(acting, key=lambda item: item[0].action)
            case = opened(node, finding, decision, now)
            self._keep_evidence(case, node, finding, fault, decision)
            self._write(node.name, case)

    def _decide(self, node: Node, finding: Finding, now: datetime) -> tuple[Decision, Fault | None]:
        fault = faults().get(finding.fault or "")
        phase = node.case.phase if node.case else None
        served = [n for n in self._nodes.values() if not (n.untested or (n.case and n.case.joined))]
        out = sum(1 for other in served if other.case and other.name != node.name)
        situation = Situation(nodes=len(served), out=out, phase=phase, capabilities=self._fleet.capabilities)
        decision = decide(finding, fault, self._memory.remedies(), situation, self._policy, now)
        key = (node.name, finding.check, finding.fault, finding.device)
        if key not in self._told and finding.result is Result.FAIL:
            code = finding.fault or "unknown"
            self._tell(FaultDetected, node=node.name, fault=code, target=node.name, evidence=finding.evidence)
            if fault:
                self._tell(
                    FaultClassified, node=node.name, fault=code, target=node.name, fault_class=str(fault.fault_class)
                )
        action = decision.action.name.lower() if decision.verdict is Verdict.ACT else "none"
        self._once(key, (decision.verdict, decision.reason), action, node.name)
        return decision, fault

    def _take(self, case: Case, step: Step, now: datetime) -> bool:
        """Carry out one step of an incident; whether the next one may be looked at in this round."""
        name = case.node
        node = self._nodes[name]
        if step.said:
            self._say(name, step.said)
        if step.findings:
            return self._reconsider(case, step, now)
        if step.close:
            self._fleet.readmit(name)
            self._say(name, "it passed its tests and is back in service")
            self._finish(case, "done", now)
            self._write(name, None)
            return False
        if case.phase is Phase.DRAINING and case.action is not Action.NONE:
            self._memory.keep(remedy_of(case))
            self._fleet.cordon(name, case.reason)
            try:
                self._fleet.drain(name)
            except PacelineError as error:  # it may not want to leave; `drain_within` ends that
                self._once((name, "drain", None, None), ("refused", str(error)), "none", name)
        if step.case is not None and step.case != case:
            self._write(name, step.case)
            if step.case.phase is Phase.ISOLATED:
                self._finish(case, "failed", now)
        if step.order is not None:
            self._fleet.order(name, step.order)
            if step.order.rung is not None:
                alone = "alone" if not step.order.peers else f"with {', '.join(step.order.peers)}"
                said = (step.order.id, f"the {step.order.rung} test, {alone}")
                self._once((name, "test", None, None), said, "none", name)
        if step.act:
            self._act(self._nodes[name], node)
        return step.case is not None and step.order is None

    def _act(self, node: Node, seen: Node) -> None:
        """Order the action of a case; it is written first that it is due and then that it was ordered."""
        assert node.case is not None
        case = node.case
        self._tell(ActionStarted, node=node.name, action=case.action.name.lower(), target=node.name)
        if case.action is Action.REBOOT:
            self._fleet.reboot(seen)
        elif case.action is Action.REPLACE:
            self._fleet.replace(seen)
        self._write(node.name, case.model_copy(update={"acted": True}))

    def _reconsider(self, case: Case, step: Step, now: datetime) -> bool:
        """A node did not come back, or did not pass: the same decision again, with what was tried in its history."""
        node = replace(self._nodes[case.node], case=case.model_copy(update={"phase": Phase.TESTING}))
        judged = [(*self._decide(node, finding, now), finding) for finding in step.findings]
        acting = [(decision, finding) for decision, _, finding in judged if decision.verdict is Verdict.ACT]
        if acting:
            decision, finding = max(acting, key=lambda item: item[0].action)
            self._memory.close(case.node, now)
            self._write(case.node, escalated(case, node, finding, decision, now))
            return True
        if any(decision.verdict is Verdict.HOLD for decision, _, _ in judged):
            self._held += 1
            return False
        self._finish(case, "failed", now)
        self._write(case.node, isolated(case, f"a test failed, and {judged[0][0].reason}", now))
        return False

    def _measured(self, case: Case, now: datetime) -> Node:
        """The node of a case. The speeds that its tests measured are kept, and a passed test in which one of them is
        too low for this fleet has failed."""
        node = self._nodes[case.node]
        answer = node.answer
        if answer is None or answer.id != case.order_id or answer.result is not Result.PASS:
            return node
        machine, near = node.machine or node.name, on_one_leaf(case, list(self._nodes.values()))
        slow = []
        for one in answer.measurements:
            baseline = self._baselines.against(machine, one, near)
            self._baselines.keep(machine, one, near, now)
            if baseline is not None and too_slow(one.speed, baseline, self._policy):
                slow.append(slowness(node.name, one, baseline, now))
        failed = answer.model_copy(update={"result": Result.FAIL, "findings": tuple(slow)})
        return replace(node, answer=failed) if slow else node

    def _finish(self, case: Case, outcome: str, now: datetime) -> None:
        self._memory.close(case.node, now)
        seconds = (now - case.opened).total_seconds()
        action = case.action.name.lower()
        self._tell(ActionFinished, node=case.node, action=action, target=case.node, outcome=outcome, seconds=seconds)

    def _close_vanished(self, now: datetime) -> None:
        """A node that was given back need not come back under its name: then its incident ends with it."""
        for remedy in self._memory.remedies():
            if remedy.closed is None and remedy.action.takes_node and remedy.node not in self._nodes:
                self._memory.close(remedy.node, now)

    def _top_up(self, wanted: int) -> None:
        nodes = self._nodes.values()
        lost = sum(1 for node in nodes if node.case and node.case.phase is Phase.ISOLATED)
        busy = sum(1 for node in nodes if node.busy)
        if (size := busy + wanted + lost) > len(nodes):
            self._fleet.resize(size)

    def _keep_evidence(self, case: Case, node: Node, finding: Finding, fault: Fault, decision: Decision) -> None:
        history = self._memory.remedies()
        try:
            kept = bundle(
                self._store, case=case, node=node, finding=finding, fault=fault, decision=decision, history=history
            )
        except PacelineError as error:  # a sick node must leave even if nobody can take notes
            self._say(node.name, f"no evidence: {error}")
        else:
            self._say(node.name, f"out of service; evidence is in {kept}")

    def _say(self, name: str, what: str) -> None:
        """Tell of a step that is no action on the machine."""
        self._tell(ActionDecided, node=name, action="none", target=name, reason=what)

    def _write(self, name: str, case: Case | None) -> None:
        self._fleet.write(name, case)
        self._nodes[name] = replace(self._nodes[name], case=case, untested=case is not None and case.joined)

    def _is_counted(self, finding: Finding) -> bool:
        """Whether this finding, or another one of the same burst, was counted before."""
        for remedy in self._memory.remedies():
            same = (remedy.node, remedy.fault) == (finding.node, finding.fault) and not remedy.action.takes_node
            if same and abs((finding.time - remedy.time).total_seconds()) <= self._policy.burst:
                return True
        return False

    def _once(self, key: _Subject, said: tuple[str, str], action: str, target: str) -> None:
        """Tell what was decided when it is not what was told last about the same."""
        self._seen.add(key)
        if self._told.get(key) != said:
            self._told[key] = said
            self._tell(ActionDecided, node=target, action=action, target=target, reason=said[1])


def _counted(finding: Finding, action: Action, now: datetime) -> Remedy:
    board = finding.device.serial if finding.device else None
    return Remedy(
        id=f"{finding.node}-{finding.time:%Y%m%dT%H%M%S}-{finding.fault}",
        node=finding.node,
        board=board,
        fault=finding.fault or "",
        action=action,
        time=finding.time,
        closed=now,
    )
