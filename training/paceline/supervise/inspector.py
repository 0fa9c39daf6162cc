"""A node's answer when the coordinator asks what its workers are at."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from paceline.supervise.crew import Crew
from paceline.supervise.process import guarded
from paceline.supervise.protocol import Inspection


class Inspector:
    """Looks at the workers of `node` once for each time it is asked; `changed` is called when it has."""

    def __init__(self, node: str, changed: Callable[[], None]) -> None:
        self._node = node
        self._changed = changed
        self._looking: asyncio.Task[None] | None = None
        self.answer: Inspection | None = None

    def asked(self, generation: int | None, crew: Crew | None) -> None:
        """About the workers of `generation`, None: not any more. `crew` is at work in it, None: no crew is."""
        if generation is None:
            self.answer = None
        elif self.answer is None and (self._looking is None or self._looking.done()):
            self._looking = guarded(self._look(generation, crew))

    async def _look(self, generation: int, crew: Crew | None) -> None:
        if crew is not None:
            with contextlib.suppress(OSError, ValueError):  # they are being replaced at this moment
                self.answer = Inspection(generation=generation, ranks=await crew.inspect(self._node))
        self._changed()

    def stop(self) -> None:
        """Wait for nobody any more."""
        if self._looking is not None:
            self._looking.cancel()
