"""The key of graphs: another one for all that changes a graph, the same for all that does not."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError

import pytest

from paceline.graphs import key
from paceline.graphs.key import installed, key_of, made_from
from paceline.spec.errors import GraphError
from paceline.spec.job import JobSpec

MakeJob = Callable[..., JobSpec]
VERSIONS = {"neuronx-cc": "2.25.3371.0+f524f7f8", "torch": "2.9.0"}


def key_for(job: JobSpec, versions: dict[str, str] | None = None, **environment: str) -> str:
    return key_of(made_from(job, job.environment | environment, versions or VERSIONS))


@pytest.mark.parametrize(
    "override",
    [
        "compute.precision=float32",
        "compute.activation_checkpointing=full",
        "data.document_mask=true",
        "evaluation.every=5",
        "optimizer.weight_decay=0.2",
        "batch.micro_sequences=1",
        "parallelism.sequence_parallel=false",
        "platform.environment.NEURON_CC_FLAGS=--model-type transformer --optlevel 2",
    ],
)
def test_what_is_in_a_graph_is_in_its_key(make_neuron_job: MakeJob, override: str) -> None:
    assert key_for(make_neuron_job(override)) != key_for(make_neuron_job())


@pytest.mark.parametrize(
    "override", ["optimizer.learning_rate=1.0e-5", "schedule.steps=77", "seed=5", "data.seed=5", "name=other"]
)
def test_what_is_not_in_a_graph_is_not_in_its_key(make_neuron_job: MakeJob, override: str) -> None:
    assert key_for(make_neuron_job(override)) == key_for(make_neuron_job())


def test_compiler_world_vocabulary_and_model_are_in_the_key(make_neuron_job: MakeJob) -> None:
    job = make_neuron_job()
    others = [
        key_for(job, VERSIONS | {"neuronx-cc": "2.26.6360.0"}),
        key_for(job, NEURON_FUSE_SOFTMAX="1"),
        key_for(make_neuron_job(nodes=2)),
        key_for(make_neuron_job(vocabulary=302)),
        key_for(make_neuron_job(model={"hidden_size": 8})),
    ]
    assert len({key_for(job), *others}) == len(others) + 1


def test_where_a_run_lies_is_not_in_the_key(make_neuron_job: MakeJob) -> None:
    moved = make_neuron_job(run="other", checkpoints="s3://other", journal="/other", coordinator_port=2)
    assert key_for(moved) == key_for(make_neuron_job())


def test_versions_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name not in VERSIONS:
            raise PackageNotFoundError(name)
        return VERSIONS[name]

    monkeypatch.setattr(key, "version", version)
    assert installed() == VERSIONS


def test_without_a_compiler_it_says_so() -> None:
    with pytest.raises(GraphError) as refused:
        installed()
    assert str(refused.value) == "platform.compile_ahead: neuronx-cc is not installed"
    assert refused.value.problems[0].hint == "run in the image trainium, or set it to false"
