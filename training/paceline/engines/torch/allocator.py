"""What the C library does with the memory of tensors on the host that are freed."""

from __future__ import annotations

import ctypes

# malloc.h and mallopt(3) of glibc
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER, _NONE = -1, 0


def keep_freed_memory() -> None:
    """Have freed tensors stay with this process, for its next ones.

    By default glibc maps every large block and unmaps it when it is freed. Every step then faults in its gradients,
    gathered parameters and activations anew, which takes as long as computing with them. A standby keeps what its
    rehearsal needed, so that the state it is filled with finds pages that are there. Other C libraries do as they
    please.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is not None:
        change(_M_MMAP_MAX, _NONE)
        change(_M_TRIM_THRESHOLD, _NEVER)
