"""What the healer promises, over random fleets, faults, delays and deaths of the healer itself, in virtual time."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.catalog.faults import faults
from paceline.clients.object_store import DirectoryStore
from paceline.heal.decide import most_out
from paceline.heal.fleets.base import Node
from paceline.heal.fleets.simulated import SimulatedFleet
from paceline.heal.healer import Healer
from paceline.heal.memory import Memory
from paceline.heal.policy import load_policy
from paceline.spec.healing import Answer, Case, Order, Phase
from paceline.spec.health import Action, Device, Finding, Result

START = datetime(2026, 11, 21, tzinfo=UTC)
POLICY = load_policy()
CODES = sorted(faults())


class KilledError(Exception):
    """The healer dies here."""


class Mortal(SimulatedFleet):
    """A fleet at which the healer dies at every `every`-th call that changes something: before or after its effect."""

    every = 0
    calls = 0
    asked: Counter[tuple[Action, str, str | None]]

    def _dies(self) -> bool:
        self.calls += 1
        return bool(self.every) and self.calls % self.every == 0

    def write(self, node: str, case: Case | None) -> None:
        if self._dies():
            raise KilledError
        super().write(node, case)

    def order(self, node: str, order: Order) -> None:
        super().order(node, order)
        if self._dies():
            raise KilledError

    def reboot(self, node: Node) -> None:
        self.asked[Action.REBOOT, node.name, node.boot] += 1
        super().reboot(node)
        if self._dies():
            raise KilledError

    def replace(self, node: Node) -> None:
        self.asked[Action.REPLACE, node.name, node.machine] += 1
        super().replace(node)
        if self._dies():
            raise KilledError

    def readmit(self, node: str) -> None:
        super().readmit(node)
        if self._dies():
            raise KilledError


class Store(DirectoryStore):
    """In memory, as cheap as a property test needs it."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.files: dict[str, bytes] = {}

    def put(self, key: str, content: bytes | bytearray | memoryview) -> None:
        self.files[key] = bytes(content)

    def get(self, key: str) -> bytes:
        return self.files[key]

    def list(self, prefix: str = ""):  # type: ignore[no-untyped-def]
        return iter(sorted(key for key in self.files if key.startswith(prefix)))


class World:
    """A fleet with its healer, and what an observer sees of them."""

    def __init__(self, nodes: int, seed: int, *, pass_rate: float, every: int) -> None:
        self.random = random.Random(seed)
        self.pass_rate = pass_rate
        self.now = START
        self.store = Store()
        self.told: list[dict[str, object]] = []
        self.fleet = Mortal(
            [f"node-{number:02}" for number in range(nodes)],
            START,
            durations={
                Action.REBOOT: lambda: self.random.choice((90.0, 180.0, 4000.0)),
                Action.REPLACE: lambda: self.random.choice((1200.0, 1800.0, 9000.0)),
            },
            test=self.test,
        )
        self.fleet.every = every
        self.fleet.asked = Counter()
        self.raise_healer()

    def raise_healer(self) -> None:
        self.healer = Healer(
            self.fleet,
            policy=POLICY,
            memory=Memory(self.store, START),
            store=self.store,
            tell=lambda kind, **fields: self.told.append({"kind": kind.__name__, **fields}),
        )

    def test(self, node: Node, order: Order) -> tuple[float, Answer]:
        draw = self.random.random()
        result = Result.PASS if draw < self.pass_rate else self.random.choice((Result.FAIL, Result.UNKNOWN))
        found = self.finding(node.name, self.random.choice(CODES), Result.FAIL)
        findings = (found,) if result is Result.FAIL and draw < 0.95 else ()
        return self.random.uniform(1, 600), Answer(id=order.id, result=result, findings=findings)

    def finding(self, node: str, code: str, result: Result, *, check: str = "test", age: float = 0) -> Finding:
        device = Device(kind="gpu", index=0, serial=f"board-{self.random.randrange(40)}")
        time = self.now - timedelta(seconds=age)
        return Finding(node=node, check=check, result=result, time=time, fault=code, device=device)

    def round(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.fleet.pass_time(self.now)
        try:
            self.healer.round(self.now)
        except KilledError:
            self.raise_healer()

    def out(self) -> int:
        return sum(1 for node in self.fleet.nodes() if node.case is not None)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    return World(
        draw(st.integers(1, 24)),
        draw(st.integers(0, 10**6)),
        pass_rate=draw(st.sampled_from((0.0, 0.5, 0.9, 1.0))),
        every=draw(st.sampled_from((0, 0, 3, 7, 20))),
    )


@settings(max_examples=100)
@given(worlds(), st.lists(st.tuples(st.integers(0, 23), st.sampled_from(CODES)), max_size=25))
def test_no_history_of_faults_breaks_a_promise(world: World, history: list[tuple[int, str]]) -> None:
    names = [node.name for node in world.fleet.nodes()]
    allowed = most_out(len(names), POLICY)
    for number, code in history:
        world.fleet.report(world.finding(names[number % len(names)], code, Result.FAIL))
        if world.random.random() < 0.2:
            world.fleet.silence(world.random.choice(names))
        for _ in range(world.random.randrange(1, 4)):
            world.round(world.random.choice((1, 30, 600)))
            assert world.out() <= allowed
    for _ in range(240):
        world.round(2400)
        assert world.out() <= allowed
    assert_settled(world)
    assert not [done for done, times in Counter(world.fleet.done).items() if times > 1], "an action was taken twice"
    if not world.fleet.every:  # a machine that does not come back is asked again, as often as the policy says
        assert all(times <= POLICY.attempts[action] for (action, *_), times in world.fleet.asked.items())


def assert_settled(world: World) -> None:
    """Every node ends healthy, isolated or reported: a node that is still ill was told of."""
    every, world.fleet.every = world.fleet.every, 0
    world.told.clear()
    world.raise_healer()  # one that has told nothing yet tells all that it holds or has just begun
    world.round(1)
    world.fleet.every = every
    decided = [event for event in world.told if event["kind"] == "ActionDecided"]
    told = {event["node"] for event in decided if "held:" in str(event["reason"]) or event["action"] != "none"}
    for node in world.fleet.nodes():
        well = node.case is None and not node.cordoned and node.silent_since is None
        isolated = node.case is not None and node.case.phase is Phase.ISOLATED and node.cordoned
        assert well or isolated or node.name in told, (node, world.told)


@settings(max_examples=20)
@given(worlds(), st.sampled_from(CODES), st.sampled_from((Result.UNKNOWN, Result.PASS)))
def test_nothing_is_done_about_what_is_not_known_to_have_failed(world: World, code: str, result: Result) -> None:
    for node in world.fleet.nodes():
        world.fleet.report(world.finding(node.name, code, result))
        world.fleet.report(world.finding(node.name, code, Result.FAIL, check="late", age=POLICY.stale_after + 1))
        world.fleet.report(world.finding(node.name, "vendor.not.in.catalog", Result.FAIL))
    for _ in range(20):
        world.round(30)
    assert world.fleet.done == []
    assert world.out() == 0


def test_with_nothing_wrong_nothing_is_said() -> None:
    world = World(8, 1, pass_rate=1.0, every=0)
    for _ in range(50):
        world.round(60)
    assert world.told == []
    assert world.store.files == {}
