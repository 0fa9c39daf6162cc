"""A worker process: a warm standby first, one rank of one generation after its promotion.

Starting and recovering are the same path. A standby imports everything, rehearses a step and sleeps; promotion hands
it a rank, a place to meet its peers and the state to start from. It is used once and then ends.

It is forked from a process that has imported it (supervise/fork_server.py).
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from paceline.checkpoint.repository import CheckpointRepository
from paceline.checkpoint.restore import fill, fill_from
from paceline.checkpoint.segment import Segment, SegmentHeader
from paceline.checkpoint.snapshot import Snapshotter
from paceline.checkpoint.weights import find_base
from paceline.clients.object_store import open_store
from paceline.data.index import TokenDataset
from paceline.data.loader import Loader
from paceline.data.mixture import order_of
from paceline.data.tokenizer import TextTokenizer
from paceline.engines import registry
from paceline.engines.base import Engine, RankContext, Rendezvous
from paceline.journal.writer import Journal
from paceline.models.adapter import learns
from paceline.models.families import FAMILIES
from paceline.plan.flops import flops_per_token, peak_flops
from paceline.plan.layout import Layout
from paceline.recipe.schema import Recipe
from paceline.spec.errors import CheckpointError
from paceline.spec.events import CheckpointRestored, SnapshotTaken
from paceline.spec.job import JobSpec
from paceline.spec.manifest import TrainerState
from paceline.spec.names import ENV_COMPILE_CACHE, ENV_RUN_TOKEN, EVIDENCE
from paceline.supervise import flight_record, peer
from paceline.supervise.link import SupervisorLink, WorkerLaunch
from paceline.supervise.memory import older
from paceline.supervise.progress import Phase
from paceline.supervise.protocol import Promote
from paceline.train.callbacks import Callback, load
from paceline.train.evaluation import Evaluation
from paceline.train.graphs import GraphWatch
from paceline.train.loop import TrainingLoop
from paceline.train.profiler import Profiler
from paceline.train.sentinel import Sentinel
from paceline.train.tasks import tokenise


class Worker:
    """One standby and what becomes of it."""

    def __init__(self, launch: WorkerLaunch, link: SupervisorLink) -> None:
        self._launch = launch
        self._link = link
        self._job = JobSpec.model_validate_json(Path(launch.job_file).read_text(encoding="utf-8"))
        self._recipe = Recipe.model_validate(self._job.recipe)
        self._engine: Engine = registry.create(self._recipe.engine)

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
        self._link.examine = lambda: self._examine(promotion)
        self._link.finished(stopped=self._train(promotion, journal))
        self._engine.teardown()
        journal.close()

    def _train(self, promotion: Promote, journal: Journal) -> bool:
        recipe, progress = self._recipe, self._link.progress
        dataset = TokenDataset.open(
            Path(self._launch.data_directory), sequence_length=recipe.data.sequence_length, verify=False
        )
        layout = self._engine.plan(recipe, promotion.world_size)
        graphs = self._graphs(promotion, journal)
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
        self._engine.build(initialise=promotion.restore_from == "nothing")
        progress.write(step=promotion.restore_step, phase=Phase.RESTORE)
        self._load_base(starts=promotion.restore_from == "nothing")
        trainer = self._restore(promotion, journal)
        snapshots = Snapshotter(
            self._engine.state,
            self._link.segments,
            generation=promotion.generation,
            rank=promotion.rank,
            world_size=promotion.world_size,
            next_segment=older(self._link.segments, promotion.restore_segment),
            ready=lambda index, header, seconds, persist: self._snapshot_ready(
                journal, promotion, index, header, seconds, persist
            ),
        )
        with Loader(
            dataset,
            order_of(dataset, recipe.data.seed),
            sequences_per_step=recipe.sequences_per_step,
            rank=layout.data_rank(promotion.rank),
            world_size=layout.data_ranks,
            micro_sequences=layout.micro_sequences,
            end_of_text=dataset.manifest.end_of_text if recipe.data.document_mask else None,
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
                callbacks=[*graphs, *self._callbacks(promotion)],
                evaluation=self._evaluation(promotion, journal, layout),
                sentinel=self._sentinel(promotion, journal, layout, loader),
                utilisation=self._utilisation(promotion.world_size),
            )
            stopped = loop.run(
                trainer, from_memory=promotion.restore_from == "memory", resharded=bool(promotion.restore_shards)
            )
        snapshots.close()
        return stopped

    def _examine(self, promotion: Promote) -> tuple[flight_record.GroupRecord, ...]:
        """The flight record in few words. All of it goes into a file before, for the answer may end this worker."""
        dump = self._engine.recent_collectives()
        flight_record.keep(
            dump, Path(self._job.journal) / EVIDENCE, generation=promotion.generation, rank=promotion.rank
        )
        return flight_record.digest(dump)

    def _callbacks(self, promotion: Promote) -> list[Callback]:
        found = load(self._recipe.callbacks)
        if promotion.rank == 0:
            found.append(Profiler(Path(self._job.journal).parent))
        return found

    def _graphs(self, promotion: Promote, journal: Journal) -> list[Callback]:
        """Made before the engine is set up: what that compiles counts too."""
        if self._job.graphs is None or promotion.local_rank:
            return []
        return [GraphWatch(Path(os.environ[ENV_COMPILE_CACHE]), journal)]

    def _sentinel(self, promotion: Promote, journal: Journal, layout: Layout, loader: Loader) -> Sentinel | None:
        if self._recipe.sentinel is None:
            return None
        return Sentinel(
            self._recipe.sentinel,
            self._engine,
            layout,
            rank=promotion.rank,
            verified=promotion.verified,
            passes=loader.passes_of,
            reload=self._reload,
            journal=journal,
        )

    def _reload(self, step: int) -> bool:
        """Put the state of the own snapshot after `step` back; False if there is none that is whole."""
        for segment in self._link.segments:
            header = segment.header()
            if header is not None and header.step == step and segment.is_whole():
                fill(self._engine.state(), [(f"snapshot after step {step}", segment.body(header.body_bytes))])
                return True
        return False

    def _evaluation(self, promotion: Promote, journal: Journal, layout: Layout) -> Evaluation | None:
        if not self._recipe.evaluation.every:
            return None
        directory = Path(self._launch.data_directory)
        held_out = TokenDataset.open(
            directory, sequence_length=self._recipe.data.sequence_length, verify=False, held_out=True
        )
        file = directory / held_out.manifest.tokenizer.name
        tokenizer = TextTokenizer.load(file.read_bytes(), str(file), end_of_text=None)
        return Evaluation(
            recipe=self._recipe,
            engine=self._engine,
            held_out=held_out,
            tasks=[tokenise(name, tokenizer) for name in self._recipe.evaluation.tasks],
            layout=layout,
            rank=promotion.rank,
            journal=journal,
            progress=self._link.progress,
            speaks=promotion.local_rank == 0,
        )

    def _utilisation(self, world_size: int) -> Callable[[float], float | None]:
        """The MFU of a step that takes so many seconds."""
        peak = peak_flops(self._engine.device().name)
        if peak is None:
            return lambda seconds: None
        recipe = self._recipe
        config = FAMILIES[recipe.model.family].preset(recipe.model.preset, vocabulary=self._job.vocabulary)
        needed = recipe.batch.tokens * flops_per_token(config, recipe.data.sequence_length)
        return lambda seconds: needed / (seconds * peak * world_size)

    def _load_base(self, *, starts: bool) -> None:
        """Fill what is frozen, and for a run that `starts` also what learns, from the model that it starts from."""
        if self._job.base is None:
            return
        repository, manifest = find_base(self._job.base)
        with self._engine.frozen() as frozen:
            if frozen:
                fill_from(repository, manifest.step, manifest.files, frozen)
        state = self._engine.state().items() if starts else ()
        learned = {name: shard for name, shard in state if not name.startswith("optimizer.") and not learns(name)}
        if learned:
            fill_from(repository, manifest.step, manifest.files, learned)

    def _restore(self, promotion: Promote, journal: Journal) -> TrainerState:
        """Fill the engine's state from where the promotion says; what the trainer knew then."""
        started = time.perf_counter()
        if promotion.restore_from == "nothing":
            return TrainerState(step=0, tokens=0, next_index=0, ledger=self._job.data_order)
        if promotion.restore_from == "memory":
            whole = promotion.restore_segment >= 0
            trainer, copied = self._from_memory(promotion) if whole else self._from_shards(promotion)
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

    def _from_shards(self, promotion: Promote) -> tuple[TrainerState, int]:
        """Out of what another world left in the memory of the nodes: every shard is fetched, one at a time."""
        scratch = Segment.create("paceline-reshard")
        token = os.environ[ENV_RUN_TOKEN]

        def bodies() -> Iterator[tuple[str, memoryview]]:
            for shard in promotion.restore_shards:
                peer.fetch(shard.address, shard.rank, promotion.restore_step, shard.digest, scratch, token)
                header = scratch.header()
                assert header is not None
                yield f"snapshot of rank {shard.rank} after step {header.step}", scratch.body(header.body_bytes)

        copied = fill(self._engine.state(), bodies())
        header = scratch.header()
        assert header is not None
        return scratch.trainer(header), copied

    def _from_manifest(self, promotion: Promote) -> tuple[TrainerState, int]:
        repository = CheckpointRepository(open_store(self._job.checkpoints, CheckpointError))
        manifest = repository.manifest(promotion.restore_step)
        # in the layout that it was written in, a rank needs its own file only
        files = sorted(manifest.files, key=lambda file: file.rank != promotion.rank)
        return manifest.trainer, fill_from(repository, manifest.step, files, self._engine.state())

    def _snapshot_ready(
        self, journal: Journal, promotion: Promote, index: int, header: SegmentHeader, seconds: float, persist: bool
    ) -> None:
        self._link.snapshot_ready(index, header.step, persist=persist)
        if promotion.local_rank == 0:
            journal.emit(
                SnapshotTaken, step=header.step, bytes=header.body_bytes, seconds=seconds, digest=header.digest
            )


def preload(job_file: Path) -> None:
    """Import what workers of this job need, as far as a process that has imported it can still be forked."""
    registry.preload(JobSpec.model_validate_json(job_file.read_text(encoding="utf-8")).recipe["engine"])


def main(launch: WorkerLaunch) -> None:
    """The whole life of a worker; see the module's docstring."""
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
