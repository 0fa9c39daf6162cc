"""What the simulator says: goodput at three sizes, beside the closed form, and Llama 3's 54 days; and what it costs.

python -m benchmarks.simulate [--repeat N] [--save]

Each repetition has a seed of its own. The largest size runs for fewer days: its faults are as many.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass

from benchmarks.common.command import Say, command
from benchmarks.common.report import SPREAD, Report, Table, spread
from paceline.catalog.failure_rates import failure_rates
from paceline.heal.policy import load_policy
from paceline.heal.spares import spares_wanted
from paceline.plan.closed_forms import spares_for
from paceline.simulate.run import Simulation
from paceline.simulate.scenario import ACCELERATORS_PER_NODE, Scenario

AIM_SECONDS, AIM_MB = 10, 500
LLAMA = (16384, 54.0, "meta")
CASES = (
    LLAMA,
    *(
        (accelerators, days, how)
        for how in ("measured", "half-minute")
        for accelerators, days in ((1024, 54.0), (16384, 54.0), (100_000, 1.0))
    ),
)
# ByteRobust's machines of 16 accelerators, and a probability of one being out that its four counts agree with
MACHINES, OUT = (128, 256, 512, 1024), 0.0012


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """One run; per cent, and processor seconds."""

    goodput: float
    formula: float
    interruptions: int
    seconds: float


def measure(repeat: int, say: Say) -> Report:
    """All cases, each with `repeat` seeds."""
    rows: list[tuple[str, ...]] = []
    for accelerators, days, how in CASES:
        name = f"{accelerators} accelerators, {days:g} days, {how}"
        say(name)
        seen = [_run(accelerators, days, how, seed) for seed in range(repeat)]
        rows.append((f"{name}: goodput, %", *spread([s.goodput for s in seen])))
        rows.append((f"{name}: closed form, %", *spread([s.formula for s in seen])))
        rows.append((f"{name}: interruptions", *spread([s.interruptions for s in seen], 0)))
        rows.append((f"{name}: processor, s", *spread([s.seconds for s in seen], 1)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    rows.append(("peak memory of all cases, MB", *spread([peak], 0)))
    table = failure_rates()
    counts = ", ".join(str(spares_for(machines, OUT, 0.99)) for machines in MACHINES)
    return Report(
        title="Simulated goodput",
        table=Table(columns=(f"figure (n = {repeat})", *SPREAD), rows=tuple(rows)),
        notes=(
            f"Aims: 99 % at 16384, 96 % at 100,000; 16384 accelerators for 54 days in {AIM_SECONDS} s and {AIM_MB} MB.",
            "Failure rate and mix of Llama 3: 419 interruptions in 54 days, effective training time above 90 %"
            f" (arXiv:2407.21783). {table.recoveries['meta'].meaning}.",
            f"`measured`: {table.recoveries['measured'].meaning}. It is a bound, and no forecast for large machines.",
            f"`half-minute`: {table.recoveries['half-minute'].meaning}. A case for comparison, chosen.",
            f"Spares for {', '.join(str(m) for m in MACHINES)} machines, each out with probability {OUT}, at P99:"
            f" {counts}; ByteRobust publishes 2, 2, 3, 4 (arXiv:2509.16293).",
        ),
    )


def _run(accelerators: int, days: float, how: str, seed: int) -> Seen:
    table, policy = failure_rates(), load_policy()
    nodes = accelerators // ACCELERATORS_PER_NODE
    scenario = Scenario(
        nodes=nodes,
        days=days,
        spares=spares_wanted(nodes, policy),
        per_1000_node_days=table.rates["llama3"].per_1000_node_days,
        recovery=table.recoveries[how],
        replace=table.repairs.replace,
        seed=seed,
    )
    began = time.process_time()
    outcome = Simulation(scenario, policy).run()
    return Seen(
        goodput=100 * outcome.goodput,
        formula=100 * scenario.expected_goodput(table),
        interruptions=outcome.interruptions,
        seconds=time.process_time() - began,
    )


if __name__ == "__main__":
    sys.exit(command("simulate", __doc__, measure, repeat=1))
