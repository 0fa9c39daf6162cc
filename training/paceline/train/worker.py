"""A worker process: a warm standby first, one rank of one generation after its promotion.

Starting and recovering are the same path. A standby imports everything, rehearses a step and sleeps; promotion hands
it a rank, a place to meet its peers and the state to start from. It is used once and then ends.

    python -m paceline.train.worker LAUNCH_RECORD      (started by the node supervisor only)
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.restore import fill
from paceline.checkpoint.segment import SegmentHeader
from paceline.checkpoint.snapshot import Snapshotter
from paceline.checkpoint.weights import find_weights
from paceline.clients.object_store import open_store
from paceline.data.index import TokenDataset
from paceline.data.loader import Loader
from paceline.data.order import SampleOrder
from paceline.engines.base import Engine, RankContext, Rendezvous
from paceline.engines.registry import create
from paceline.journal.writer import Journal
from paceline.recipe.schema import Recipe
from paceline.spec.errors import CheckpointError
from paceline.spec.events import CheckpointRestored, SnapshotTaken
from paceline.spec.job import JobSpec
from paceline.spec.manifest import TrainerState
from paceline.supervise.link import SupervisorLink, WorkerLaunch
from paceline.supervise.progress import Phase
from paceline.supervise.protocol import Promote
from paceline.train.loop import TrainingLoop


class Worker:
    """One standby and what becomes of it."""

    def __init__(self, launch: WorkerLaunch, link: SupervisorLink) -> None:
        self._launch = launch
        self._link = link
        self._job = JobSpec.model_validate_json(Path(launch.job_file).read_text(encoding="utf-8"))
        self._recipe = Recipe.model_validate(self._job.recipe)
        self._engine: Engine = create(self._recipe.engine)

    def run(self) -> None:
        """Rehearse, wait, train."""
        self._engine.rehearse(self._recipe, self._job.vocabulary)
        promotion = self._link.wait_for_promotion()
        journal = Journal(
            Path(self._job.journal),
            run=self._job.run,
            producer=f"{self._launch.node}.rank-{promotion.rank}",
            node=self._launch.node,
            rank=promotion.rank,
        )
        journal.generation = promotion.generation
        self._link.finished(stopped=self._train(promotion, journal))
        self._engine.teardown()
        journal.close()

    def _train(self, promotion: Promote, journal: Journal) -> bool:
        recipe, progress = self._recipe, self._link.progress
        dataset = TokenDataset.open(
            Path(self._launch.data_directory), sequence_length=recipe.data.sequence_length, verify=False
        )
        order = SampleOrder(seed=recipe.data.seed, num_samples=dataset.num_windows)
        layout = self._engine.plan(recipe, promotion.world_size)
        progress.write(step=promotion.restore_step, phase=Phase.BUILD)
        rendezvous = Rendezvous(host=promotion.store.host, port=promotion.store.port, listen_fd=self._launch.listen_fd)
        self._engine.setup(
            recipe,
            self._job.vocabulary,
            RankContext(
                rank=promotion.rank,
                world_size=promotion.world_size,
                generation=promotion.generation,
                rendezvous=rendezvous,
            ),
        )
        self._engine.build(initialise=promotion.restore_from == "nothing" and recipe.model.weights is None)
        progress.write(step=promotion.restore_step, phase=Phase.RESTORE)
        trainer = self._restore(promotion, journal)
        snapshots = Snapshotter(
            self._engine.state,
            self._link.segments,
            generation=promotion.generation,
            rank=promotion.rank,
            next_segment=1 - promotion.restore_segment if promotion.restore_segment >= 0 else 0,
            ready=lambda index, header, seconds, persist: self._snapshot_ready(
                journal, promotion, index, header, seconds, persist
            ),
        )
        with Loader(
            dataset,
            order,
            sequences_per_step=recipe.sequences_per_step,
            rank=layout.data_rank(promotion.rank),
            world_size=layout.data_ranks,
            micro_sequences=layout.micro_sequences,
            witness=layout.is_witness(promotion.rank),
        ) as loader:
            loop = TrainingLoop(
                recipe=recipe,
                engine=self._engine,
                loader=loader,
                snapshots=snapshots,
                supervision=self._link,
                journal=journal,
                rank=promotion.rank,
                speaks=promotion.local_rank == 0,
            )
            stopped = loop.run(trainer, from_memory=promotion.restore_from == "memory")
        snapshots.close()
        return stopped

    def _restore(self, promotion: Promote, journal: Journal) -> TrainerState:
        """Fill the engine's state from where the promotion says; what the trainer knew then."""
        started = time.perf_counter()
        if promotion.restore_from == "nothing":
            model = self._recipe.model
            if model.weights is not None:
                repository, manifest = find_weights(model, model.weights, self._job.vocabulary)
                state = self._engine.state().items()
                parameters = {name: shard for name, shard in state if not name.startswith("optimizer.")}
                fill(parameters, repository.contents(manifest.step, manifest.files))
            return TrainerState(step=0, tokens=0, next_index=0, ledger=self._job.data_order)
        if promotion.restore_from == "memory":
            trainer, copied = self._from_memory(promotion)
        else:
            trainer, copied = self._from_manifest(promotion)
        journal.emit(
            CheckpointRestored,
            step=trainer.step,
            source=promotion.restore_from,
            bytes=copied,
            seconds=time.perf_counter() - started,
        )
        return trainer

    def _from_memory(self, promotion: Promote) -> tuple[TrainerState, int]:
        segment = self._link.segments[promotion.restore_segment]
        header = segment.header()
        if header is None or header.step != promotion.restore_step or not segment.is_whole():
            segment.invalidate()  # the next generation takes the buddy's copy
            raise CheckpointError(f"the snapshot of rank {promotion.rank} in memory is damaged")
        source = f"snapshot of rank {header.rank} after step {header.step}"
        copied = fill(self._engine.state(), [(source, segment.body(header.body_bytes))])
        return segment.trainer(header), copied

    def _from_manifest(self, promotion: Promote) -> tuple[TrainerState, int]:
        repository = CheckpointRepository(open_store(self._job.checkpoints, CheckpointError))
        manifest = repository.manifest(promotion.restore_step)
        # in the layout that it was written in, a rank needs its own file only
        files = sorted(manifest.files, key=lambda file: file.rank != promotion.rank)
        return manifest.trainer, fill(self._engine.state(), repository.contents(manifest.step, files))

    def _snapshot_ready(
        self, journal: Journal, promotion: Promote, index: int, header: SegmentHeader, seconds: float, persist: bool
    ) -> None:
        self._link.snapshot_ready(index, header.step, persist=persist)
        if promotion.local_rank == 0:
            journal.emit(
                SnapshotTaken, step=header.step, bytes=header.body_bytes, seconds=seconds, digest=header.digest
            )


def main() -> None:
    """Entry of a worker's process; see the module's docstring."""
    launch = WorkerLaunch.model_validate_json(sys.argv[1])
    link = SupervisorLink(launch)
    try:
        Worker(launch, link).run()
    except Exception as error:  # noqa: BLE001 - whatever ends a worker, the supervisor hears why
        traceback.print_exc()
        try:
            link.failed(error)
        finally:
            os._exit(1)
    sys.stdout.flush()
    os._exit(0)  # at once: threads that wait for peers must not keep the process


if __name__ == "__main__":
    main()
