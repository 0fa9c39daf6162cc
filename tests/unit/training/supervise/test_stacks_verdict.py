"""Who is guilty when nothing moves, judged from recorded evidence; and stacks of a process that does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from paceline.supervise import stacks
from paceline.supervise.process import process_state
from paceline.supervise.progress import Phase
from paceline.supervise.protocol import RankEvidence
from paceline.supervise.verdict import judge

# as faulthandler wrote them in workers of the debug model
IN_ALL_GATHER = """Thread 0x00007f10aa7fc6c0 (most recent call first):
  File "/lib/python3.12/threading.py", line 355 in wait
  File "/src/paceline/supervise/link.py", line 80 in wait_until_safe

Current thread 0x00007f12e8f2d740 (most recent call first):
  File "/lib/torch/distributed/distributed_c10d.py", line 4219 in all_gather_into_tensor
  File "/lib/torch/distributed/c10d_logger.py", line 83 in wrapper
  File "/lib/torch/distributed/fsdp/_fully_shard/_fsdp_collectives.py", line 132 in __call__
  File "/src/paceline/train/loop.py", line 93 in _step
"""
IN_ALL_REDUCE = IN_ALL_GATHER.replace("all_gather_into_tensor", "all_reduce")
IN_USER_CODE = """Current thread 0x00007f12e8f2d740 (most recent call first):
  File "/src/my_callback.py", line 7 in spin
  File "/src/paceline/train/loop.py", line 93 in _step
  File "/lib/torch/distributed/elastic.py", line 1 in far_out
  File "/src/a.py", line 1 in b
  File "/lib/torch/distributed/run.py", line 1 in main
"""
IN_LOADER = IN_USER_CODE.replace("/src/my_callback.py", "/src/paceline/data/loader.py").replace("spin", "step")


def rank(number: int, phase: Phase, text: str, *, step: int = 5, state: str = "S") -> RankEvidence:
    return RankEvidence(
        rank=number, step=step, phase=phase, idle_seconds=9.0, node=f"node-{number}", process_state=state, stacks=text
    )


WAITING = rank(0, Phase.FORWARD_BACKWARD, IN_ALL_GATHER)


def test_the_rank_that_waits_for_nobody_holds_up_the_others() -> None:
    verdict = judge([WAITING, rank(1, Phase.FORWARD_BACKWARD, IN_USER_CODE, state="R")])
    assert (verdict.fault_class, verdict.node, verdict.rank) == ("user_code_stuck", "node-1", 1)
    assert "in spin (my_callback.py:7)" in verdict.reason


def test_one_rank_without_data_is_named_with_its_storage() -> None:
    verdict = judge([WAITING, rank(1, Phase.DATA, IN_LOADER, state="D")])
    assert (verdict.fault_class, verdict.rank) == ("storage_stalled", 1)
    assert "in step (loader.py:7), in the kernel, for a device" in verdict.reason


def test_when_all_wait_for_data_the_storage_is_guilty_and_no_node() -> None:
    verdict = judge([rank(n, Phase.DATA, IN_LOADER) for n in range(3)])
    assert (verdict.fault_class, verdict.node, verdict.rank) == ("storage_stalled", None, None)


def test_the_rank_in_another_collective_than_most_is_named() -> None:
    others = [rank(n, Phase.UPDATE, IN_ALL_REDUCE) for n in (0, 2)]
    verdict = judge([*others, rank(1, Phase.UPDATE, IN_ALL_GATHER)])
    assert (verdict.fault_class, verdict.rank) == ("collective_deadlocked", 1)
    assert "in all_gather_into_tensor, the others in all_reduce" in verdict.reason


def test_of_two_in_different_collectives_the_one_behind_is_named() -> None:
    verdict = judge([rank(0, Phase.UPDATE, IN_ALL_REDUCE), rank(1, Phase.FORWARD_BACKWARD, IN_ALL_GATHER)])
    assert (verdict.fault_class, verdict.rank) == ("collective_deadlocked", 1)


def test_when_all_wait_at_the_same_place_nobody_is_named() -> None:
    verdict = judge([rank(n, Phase.FORWARD_BACKWARD, IN_ALL_GATHER) for n in range(2)])
    assert (verdict.fault_class, verdict.node) == ("collective_deadlocked", None)


def test_a_stopped_process_is_guilty_whatever_it_was_doing() -> None:
    verdict = judge([WAITING, rank(1, Phase.UPDATE, "", step=6, state="T")])
    assert (verdict.fault_class, verdict.rank) == ("worker_stopped", 1)


def test_a_fence_that_nobody_opens_and_a_start_that_never_ends() -> None:
    assert judge([WAITING, rank(1, Phase.FENCE, IN_USER_CODE, step=4)]).fault_class == "checkpoint_stalled"
    assert judge([WAITING, rank(1, Phase.BUILD, IN_USER_CODE, step=4)]).fault_class == "start_stalled"


def test_without_stacks_the_rank_that_is_behind_is_named() -> None:
    verdict = judge([rank(0, Phase.UPDATE, ""), rank(1, Phase.FORWARD_BACKWARD, ""), rank(2, Phase.UPDATE, "")])
    assert (verdict.rank, verdict.fault_class) == (1, "user_code_stuck")


@contextmanager
def busy_process() -> Iterator[tuple[int, int]]:
    """A process that loops and offers its stacks; its id and the descriptor."""
    descriptor = os.memfd_create("stacks")
    code = (
        "import sys\nfrom paceline.supervise import stacks\n"
        f"stacks.offer({descriptor})\nprint('on', flush=True)\ndef spin():\n while True: pass\nspin()"
    )
    process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[descriptor], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield process.pid, descriptor
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(descriptor)


def test_a_process_that_loops_says_where_as_often_as_it_is_asked() -> None:
    with busy_process() as (pid, descriptor):
        for _ in range(2):
            taken = ""
            while "spin" not in taken:  # the first may come before the loop has begun
                taken = asyncio.run(stacks.take(pid, descriptor))
            frame = stacks.innermost(taken)
            assert frame is not None and frame.function == "spin"
            assert taken.count("Current thread") == 1


def test_a_process_that_is_stopped_says_nothing_and_the_kernel_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_POLLS", 2)
    with busy_process() as (pid, descriptor):
        os.kill(pid, signal.SIGSTOP)
        while process_state(pid) != "T":
            time.sleep(0.001)
        assert asyncio.run(stacks.take(pid, descriptor)) == ""
        os.kill(pid, signal.SIGCONT)
    assert process_state(pid) is None
