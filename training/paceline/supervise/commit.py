"""Commit checkpoints: when every rank's file of a step is durable, write the manifest.

The files come from the nodes' reports, so a successor of the coordinator goes on where its predecessor stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import open_store
from paceline.journal.writer import Journal
from paceline.plan.layout import derive
from paceline.recipe.schema import Recipe
from paceline.spec.errors import CheckpointError, PacelineError
from paceline.spec.events import CheckpointCommitted, CheckpointFailed, CheckpointRejected, now
from paceline.spec.job import JobSpec
from paceline.spec.manifest import CheckpointManifest
from paceline.supervise.protocol import Failure, NodeStatus, PersistedShard


class Committer:
    """The durable tier as the coordinator sees it."""

    def __init__(self, job: JobSpec, journal: Journal) -> None:
        self._job = job
        self._recipe = Recipe.model_validate(job.recipe)
        self._journal = journal
        self._repository: CheckpointRepository | None = None
        self._committing: asyncio.Task[None] | None = None
        self._parent: int | None = None
        self._refused: set[tuple[int, int]] = set()
        self.knows_durable = False
        self.durable_step: int | None = None
        self.committed_step = -1
        self.failure = "no node saved it"

    @property
    def busy(self) -> bool:
        return self._committing is not None and not self._committing.done()

    def find_durable(self) -> None:
        """Learn the newest checkpoint that verifies; those that do not are reported. Blocking; run on a thread."""
        manifest = self._open().newest(self._rejected)
        if manifest is not None:
            self.durable_step = self._parent = self.committed_step = manifest.step
        self.knows_durable = True

    def step(self, statuses: Sequence[NodeStatus]) -> None:
        """Look at what the nodes have made durable and commit what is complete; what storage refused once is not
        tried again: it costs the run that checkpoint."""
        if self.busy:
            return
        by_step: dict[tuple[int, int], dict[int, PersistedShard]] = {}
        for status in statuses:
            for shard in status.persisted:
                if shard.step > self.committed_step:
                    by_step.setdefault((shard.step, shard.generation), {})[shard.file.rank] = shard
        complete = {key for key, shards in by_step.items() if len(shards) == self._job.world_size} - self._refused
        if complete:
            shards = by_step[min(complete)]
            files = [shards[rank] for rank in sorted(shards)]
            self._committing = asyncio.get_running_loop().create_task(self._commit(files))

    async def _commit(self, shards: list[PersistedShard]) -> None:
        manifest = CheckpointManifest(
            run=self._job.run,
            created=now(),
            step=shards[0].step,
            recipe_sha256=self._job.recipe_sha256,
            image_digest=self._job.image_digest,
            data_order=self._job.data_order,
            world_size=len(shards),
            layout=derive(self._recipe, len(shards)).degrees,
            trainer=shards[0].trainer,
            files=tuple(shard.file for shard in shards),
            parent=self._parent,
            model=self._job.model,
        )
        try:
            repository = self._open()
            await asyncio.to_thread(repository.commit, manifest)
        except Exception as error:  # noqa: BLE001 - whatever storage says, training goes on and the reason is told
            self.failure = Failure.of(error).message
            self._refused.add((manifest.step, shards[0].generation))
            uri = f"{self._job.checkpoints}, step {manifest.step}"
            self._journal.emit(CheckpointFailed, step=manifest.step, uri=uri, reason=self.failure)
            return
        self.committed_step = self.durable_step = manifest.step
        self._journal.emit(
            CheckpointCommitted,
            step=manifest.step,
            uri=repository.uri(manifest.step),
            files=len(manifest.files),
            bytes=sum(file.bytes for file in manifest.files),
        )
        with contextlib.suppress(OSError, PacelineError):  # the next commit removes what could not be removed now
            await asyncio.to_thread(repository.prune, int(self._job.recipe["checkpoint"]["keep"]), newest=manifest.step)

    def _rejected(self, step: int | None, uri: str, reason: str) -> None:
        self._journal.emit(CheckpointRejected, step=step, uri=uri, reason=reason)

    def _open(self) -> CheckpointRepository:
        if self._repository is None:
            self._repository = CheckpointRepository(open_store(self._job.checkpoints, CheckpointError))
        return self._repository
