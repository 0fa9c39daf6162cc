"""What the healer asks of a node's agent: reset a device, or run the tests by which the node comes back."""

from __future__ import annotations

from paceline.health.base import InconclusiveError, Node, Probe
from paceline.health.examine import measure
from paceline.health.kmsg import KernelCheck
from paceline.health.neuron import DEVICES
from paceline.health.registry import plan
from paceline.health.standing import calls_for
from paceline.spec.healing import Answer, Measurement, Order, Rung
from paceline.spec.health import Device, Finding, Result, Stage

_RESET_SECONDS = 120.0


async def carry_out(order: Order, probe: Probe, node: Node) -> Answer:
    """The answer to `order`: fail when the node should not come back, unknown when nobody can tell."""
    if order.reset is not None:
        return Answer(id=order.id, result=await _reset(order.reset, probe))
    stages = (Stage.START, Stage.DEEP) if order.rung is Rung.SINGLE else (Stage.MULTI_NODE,)
    # the kernel log tells what happened before the repair
    node = node.model_copy(update={"meeting": order.meeting})
    checks = [check for stage in stages for check in plan(stage, node) if not isinstance(check, KernelCheck)]
    findings: list[Finding] = []
    measurements: list[Measurement] = []
    for check in checks:
        found, measured = await measure(check, probe, node)
        findings += found
        measurements += measured
        if any(calls_for(finding).takes_node for finding in findings):
            break  # the rest would only take time
    return Answer(
        id=order.id,
        result=_verdict(findings),
        findings=tuple(finding for finding in findings if finding.result is not Result.PASS),
        measurements=tuple(measurements),
    )


def _verdict(findings: list[Finding]) -> Result:
    if any(calls_for(finding).takes_node for finding in findings):
        return Result.FAIL
    # without a test nothing is proven
    unsure = not findings or any(finding.result is Result.UNKNOWN for finding in findings)
    return Result.UNKNOWN if unsure else Result.PASS


async def _reset(device: Device, probe: Probe) -> Result:
    name = device.serial or (str(device.index) if device.index is not None else None)
    if device.kind == "gpu" and name is not None:
        command: tuple[str, ...] = ("nvidia-smi", "--gpu-reset", "-i", name)
    elif device.kind == "neuron" and device.index is not None:
        # neuron-sysfs-user-guide.rst: writing to `reset` resets the device
        command = ("sh", "-c", 'echo 1 > "$1"', "sh", f"{DEVICES}/neuron{device.index}/reset")
    else:
        return Result.UNKNOWN
    try:
        done = await probe.run(*command, timeout=_RESET_SECONDS)
    except InconclusiveError:
        return Result.UNKNOWN
    return Result.PASS if done.code == 0 else Result.FAIL
