"""Commit checkpoints: when every rank's file of a step is durable, write the manifest.

The files come from the nodes' reports, so a successor of the coordinator goes on where its predecessor stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import open_store
from paceline.journal.writer import Journal
from paceline.spec.errors import CheckpointError
from paceline.spec.events import CheckpointCommitted, CheckpointFailed, CheckpointRejected, now
from paceline.spec.job import JobSpec
from paceline.spec.manifest import CheckpointManifest
from paceline.supervise.protocol import NodeStatus, PersistedShard


class Committer:
    """The durable tier as the coordinator sees it."""

    def __init__(self, job: JobSpec, journal: Journal) -> None:
        self._job = job
        self._journal = journal
        self._repository: CheckpointRepository | None = None
        self._committing: asyncio.Task[None] | None = None
        self._parent: int | None = None
        self._pending: set[int] = set()
        self.durable_step: int | None = None
        self.committed_step = -1
        self.failure = "no node saved it"

    @property
    def busy(self) -> bool:
        return self._committing is not None and not self._committing.done()

    def pending(self, step: int) -> bool:
        """Whether some, but not yet all, files of `step` are durable."""
        return step in self._pending

    def newest_durable(self) -> int | None:
        """The newest checkpoint that verifies; those that do not are reported. Blocking; run on a thread."""
        manifest = self._open().newest(self._rejected)
        if manifest is not None:
            self.durable_step = self._parent = self.committed_step = manifest.step
        return self.durable_step

    def step(self, statuses: Sequence[NodeStatus]) -> None:
        """Look at what the nodes have made durable and commit what is complete."""
        by_step: dict[tuple[int, int], dict[int, PersistedShard]] = {}
        for status in statuses:
            for shard in status.persisted:
                if shard.step > self.committed_step:
                    by_step.setdefault((shard.step, shard.generation), {})[shard.file.rank] = shard
        self._pending = {step for step, _ in by_step}
        if self.busy:
            return
        complete = [key for key, shards in by_step.items() if len(shards) == self._job.world_size]
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
            layout={"dp_shard": len(shards)},
            trainer=shards[0].trainer,
            files=tuple(shard.file for shard in shards),
            parent=self._parent,
        )
        try:
            await asyncio.to_thread(self._write, manifest)
        except Exception as error:  # noqa: BLE001 - whatever storage says, training goes on and the reason is told
            self.failure = f"{type(error).__name__}: {error}"
            uri = f"{self._job.checkpoints}, step {manifest.step}"
            self._journal.emit(CheckpointFailed, step=manifest.step, uri=uri, reason=self.failure)
            return
        self.committed_step = self.durable_step = manifest.step
        self._journal.emit(
            CheckpointCommitted,
            step=manifest.step,
            uri=self._open().uri(manifest.step),
            files=len(manifest.files),
            bytes=sum(file.bytes for file in manifest.files),
        )

    def _write(self, manifest: CheckpointManifest) -> None:
        repository = self._open()
        repository.commit(manifest)
        repository.prune(int(self._job.recipe["checkpoint"]["keep"]))

    def _rejected(self, step: int | None, uri: str, reason: str) -> None:
        self._journal.emit(CheckpointRejected, step=step, uri=uri, reason=reason)

    def _open(self) -> CheckpointRepository:
        if self._repository is None:
            self._repository = CheckpointRepository(open_store(self._job.checkpoints, CheckpointError))
        return self._repository
