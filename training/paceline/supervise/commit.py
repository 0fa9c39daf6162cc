"""Commit checkpoints: when every rank's file of a step is durable, write the manifest.

A generation is claimed in storage when it is opened, and only its coordinator, or one that knows of it, commits: where
the network falls apart, the side that was left behind saves nothing over the other's work.

The files come from the nodes' reports, so a successor of the coordinator goes on where its predecessor stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.retention import Retention
from paceline.clients.object_store import open_store
from paceline.journal.writer import Journal
from paceline.plan.layout import derive
from paceline.recipe.schema import Recipe
from paceline.spec.errors import CheckpointError, PacelineError
from paceline.spec.events import CheckpointCommitted, CheckpointFailed, CheckpointRejected, now
from paceline.spec.job import JobSpec
from paceline.spec.manifest import CheckpointManifest
from paceline.supervise.membership import is_superseded
from paceline.supervise.protocol import Assignment, Failure, NodeStatus, PersistedShard

_RETRY_SECONDS = 1.0


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
        self._claimed: int | None = None
        self._asked: int | None = None
        self._claiming: asyncio.Task[None] | None = None
        self._verifying: asyncio.Task[None] | None = None
        self.is_verified = False
        self.knows_durable = False
        self.first_generation = 0
        self.durable_step: int | None = None
        self.committed_step = -1
        self.failure = "no node saved it"

    @property
    def busy(self) -> bool:
        return self._committing is not None and not self._committing.done()

    def find_durable(self) -> None:
        """Learn the newest checkpoint that verifies; those that do not are reported. Blocking; run on a thread."""
        self._learn(self._open().newest(self._rejected), verified=True)

    def look_up_durable(self) -> None:
        """The same without reading its files: a successor must not read a terabyte to begin. Blocking."""
        self._learn(self._open().newest_committed(self._rejected), verified=False)

    async def learn(self, *, read: bool, given_up: Callable[[], bool]) -> Failure | None:
        """Find what is durable, or only look it up unless it is to be `read`; tried until storage answers. Why it does
        not, once it is `given_up`."""
        while not self.knows_durable:
            try:
                await asyncio.to_thread(self.find_durable if read else self.look_up_durable)
            except Exception as error:  # noqa: BLE001 - whatever storage says, a person must hear it
                if given_up():
                    return Failure.of(error)
                await asyncio.sleep(_RETRY_SECONDS)
        return None

    def _learn(self, manifest: CheckpointManifest | None, *, verified: bool) -> None:
        self.durable_step = None
        if manifest is not None:
            self.durable_step = self._parent = self.committed_step = manifest.step
        claimed = self._open().newest_claimed()
        self.first_generation = 0 if claimed is None else claimed + 1
        self.is_verified, self.knows_durable = verified, True

    def verify_durable(self) -> None:
        """Read the newest checkpoint in the background, as it is needed now; `is_verified` says when that is over."""
        if self._verifying is None or self._verifying.done():
            self._verifying = asyncio.get_running_loop().create_task(self._verify())

    async def _verify(self) -> None:
        try:
            await asyncio.to_thread(self.find_durable)
        except Exception as error:  # noqa: BLE001 - storage may answer the next time
            self.failure = Failure.of(error).message
            await asyncio.sleep(_RETRY_SECONDS)

    def step(self, statuses: Sequence[NodeStatus], assignment: Assignment | None) -> None:
        """Look at what the nodes have made durable and commit what is complete; what storage refused once is not
        tried again: it costs the run that checkpoint. Files that `assignment` went back behind are left alone."""
        if self.busy or assignment is None:
            return
        by_step: dict[tuple[int, int], dict[int, PersistedShard]] = {}
        for status in statuses:
            for shard in status.persisted:
                if shard.step > self.committed_step and not is_superseded(shard, assignment):
                    by_step.setdefault((shard.step, shard.generation), {})[shard.file.rank] = shard
        complete = {key for key, shards in by_step.items() if _is_whole(shards)} - self._refused
        if complete:
            shards = by_step[min(complete)]
            files = [shards[rank] for rank in sorted(shards)]
            self._committing = asyncio.get_running_loop().create_task(self._commit(files, assignment))

    def claim_soon(self, assignment: Assignment | None) -> None:
        """Claim the generation in the background, once: training does not wait for storage."""
        if assignment is not None and assignment.generation != self._asked:
            self._asked = assignment.generation
            self._claiming = asyncio.get_running_loop().create_task(self._claim_in_background(assignment))

    async def _claim_in_background(self, assignment: Assignment) -> None:
        with contextlib.suppress(OSError, PacelineError):  # what commits claims first, and tells why it cannot
            await asyncio.to_thread(self._claim, assignment)

    def _claim(self, assignment: Assignment) -> None:
        if self._claimed != assignment.generation:
            self._open().claim(assignment.generation, assignment.model_dump_json(indent=1).encode())
            self._claimed = assignment.generation

    async def _commit(self, shards: list[PersistedShard], assignment: Assignment) -> None:
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
            base=self._job.base,
            adapter=self._job.recipe.get("adapter"),
        )
        try:
            repository = self._open()
            await asyncio.to_thread(self._claim, assignment)
            await asyncio.to_thread(repository.commit, manifest, generation=assignment.generation)
        except Exception as error:  # noqa: BLE001 - whatever storage says, training goes on and the reason is told
            self.failure = Failure.of(error).message
            self._refused.add((manifest.step, shards[0].generation))
            uri = f"{self._job.checkpoints}, step {manifest.step}"
            self._journal.emit(CheckpointFailed, step=manifest.step, uri=uri, reason=self.failure)
            return
        self.committed_step = self.durable_step = manifest.step
        self.is_verified = True  # the nodes hashed what they have just saved
        self._journal.emit(
            CheckpointCommitted,
            step=manifest.step,
            uri=repository.uri(manifest.step),
            files=len(manifest.files),
            bytes=sum(file.bytes for file in manifest.files),
        )
        with contextlib.suppress(OSError, PacelineError):  # the next commit removes what could not be removed now
            keep = self._recipe.checkpoint
            retention = Retention(newest=keep.keep, every_hours=keep.keep_every_hours, best=keep.keep_best)
            await asyncio.to_thread(repository.prune, retention, newest=manifest.step)

    def _rejected(self, step: int | None, uri: str, reason: str) -> None:
        self._journal.emit(CheckpointRejected, step=step, uri=uri, reason=reason)

    def _open(self) -> CheckpointRepository:
        if self._repository is None:
            self._repository = CheckpointRepository(open_store(self._job.checkpoints, CheckpointError))
        return self._repository


def _is_whole(shards: dict[int, PersistedShard]) -> bool:
    """Whether these are the files of all ranks of the world that wrote them."""
    return set(shards) == set(range(next(iter(shards.values())).world_size))
