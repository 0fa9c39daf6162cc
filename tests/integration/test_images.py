"""The images from their real Dockerfiles: they build, hold what the matrix says, are small, and heal a run.

The base is made on the spot: no registry is asked. Each build ends with the image's own smoke.py.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import DirectoryStore
from paceline.data.corpus import Document
from paceline.data.prepare import prepare
from paceline.launch.job import RunRequest, render
from paceline.recipe.load import load
from paceline.spec.events import AnyEvent, GenerationOpened, RunFinished, StepFinished
from tests.container_run import ContainerRun
from tests.integration.conftest import Builder
from tools.images.build import ROOT, Built, Order, pulled, table, tag, unpacked

pytestmark = [pytest.mark.integration, pytest.mark.images, pytest.mark.timeout(900)]

# MB on a disk for the large one; for the small ones what a node pulls before they start: the base of every image with
# Python in it is larger on a disk
LIMITS = {"cpu": 1200, "node-agent": 120, "controller": 150}
HEADING = ("image", "built in s", "after a change in s", "MB", "measured", "limit")


@pytest.fixture(scope="module")
def cold(builder: Builder) -> dict[str, Built]:
    """The three, built with whatever the engine has kept of earlier builds."""
    return {name: builder.build(Order(name=name, base=builder.base)) for name in LIMITS}


@pytest.fixture(scope="module")
def warm(builder: Builder, cold: dict[str, Built], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """The same after a change in training/."""
    context = tmp_path_factory.mktemp("context")
    for name in ("docker-bake.hcl", ".dockerignore"):
        shutil.copy(ROOT / name, context / name)
    for name in ("images", "training"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (context / "training" / "paceline" / "__init__.py").open("a") as file:
        file.write(f"# changed at {time.time_ns()}\n")
    return {name: builder.build(Order(name=name, base=builder.base, context=context)) for name in cold}


def test_sizes_and_times(
    builder: Builder, cold: dict[str, Built], warm: dict[str, Built], capsys: pytest.CaptureFixture[str]
) -> None:
    """Prints them; how long a build takes is the machine's business, so only sizes have limits here."""
    measures = {"cpu": unpacked, "node-agent": pulled, "controller": pulled}
    found = {name: measure(builder.docker, tag(name)) / 1e6 for name, measure in measures.items()}
    rows: list[tuple[str, ...]] = [HEADING]
    for name, limit in LIMITS.items():
        times = f"{cold[name].seconds:.1f}", f"{warm[name].seconds:.1f}"
        rows.append((name, *times, f"{found[name]:.0f}", measures[name].__name__, str(limit)))
    with capsys.disabled():
        sys.stdout.write(f"\n{table(rows)}\n")
    assert all(found[name] <= limit for name, limit in LIMITS.items()), found


def test_a_change_in_training_installs_no_dependency_again(warm: dict[str, Built]) -> None:
    for name, built in warm.items():
        assert any("pip" in step and "/out/*.whl" in step for step in built.steps), (name, built.steps)
        assert not [step for step in built.steps if "requirements.txt" in step or "torch==" in step], name


@pytest.mark.parametrize("path", sorted(ROOT.glob("images/*/Dockerfile")), ids=lambda path: path.parent.name)
def test_the_builder_finds_no_fault(builder: Builder, path: Path) -> None:
    """Of any image: checking asks for a base, and takes nothing from it."""
    command = ["buildx", "build", "--check", "--build-arg", f"BASE={builder.base}", "--file", str(path), str(ROOT)]
    done = builder.docker.attempt(*command)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "no warnings found" in done.stderr + done.stdout


def test_the_targets_are_what_was_reviewed(builder: Builder) -> None:
    printed = builder.docker("buildx", "bake", "--print", "default", "accelerators", "preview", folder=ROOT)
    assert json.loads(printed) == json.loads((ROOT / "tests" / "contract" / "bake.json").read_text(encoding="utf-8"))


def test_a_target_takes_its_tag_from_the_command_line_of_paceline(builder: Builder) -> None:
    told = {"TAGS": json.dumps({"gpu": "0.1.0-gpu-torch2.13-cu133-0a1b2c3d"}), "REGISTRY": "registry/team"}
    docker = replace(builder.docker, environment={**builder.docker.environment, **told})
    targets = json.loads(docker("buildx", "bake", "--print", "gpu", "cpu", folder=ROOT))["target"]
    assert targets["gpu"]["tags"] == ["registry/team/gpu:0.1.0-gpu-torch2.13-cu133-0a1b2c3d"]
    assert targets["cpu"]["tags"] == ["registry/team/cpu:dev"]


@pytest.mark.parametrize("name", LIMITS)
def test_an_image_runs_as_in_a_cluster(builder: Builder, cold: dict[str, Built], name: str) -> None:
    """As a user without rights, by number (Kubernetes can check only numbers), on a root that cannot be written."""
    image = tag(name)
    assert builder.docker("image", "inspect", "--format", "{{.Config.User}}", image).strip() == "10001"
    strict = ["--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
    strict += ["--ulimit", "nofile=1024:1024"]
    said = builder.docker("run", *strict, image, "--version")
    assert said.startswith("paceline ")
    said = builder.docker("run", *strict, "--entrypoint", "python", image, "/opt/paceline/share/smoke.py")
    assert f"{name}: everything inside is what versions.toml says" in said


def test_nothing_that_was_lent_stays_inside(builder: Builder, cold: dict[str, Built]) -> None:
    paths = "/etc/pip.conf /run/secrets/ca /opt/wheels/*"
    shell = ["run", "--rm", "--network", "none", "--entrypoint", "sh"]
    for name in cold:
        assert builder.docker(*shell, tag(name), "-c", f"ls -d {paths} 2>/dev/null || true") == ""


def test_a_run_heals_inside_the_image(builder: Builder, cold: dict[str, Built], tmp_path: Path) -> None:
    """Two nodes and a spare, a container each; a node's is killed."""
    dataset, directory = tmp_path / "dataset", tmp_path / "run"
    sentence = "the line closes up and keeps its pace when a rider drops " * 40
    documents = [Document(name=f"document {i}", text=sentence[i:]) for i in range(16)]
    prepare(documents, name="containers", source="tests", output=dataset, vocabulary=300)
    request = RunRequest(
        name="containers",
        recipe=load("debug-tiny"),
        dataset=str(dataset),
        checkpoints=str(directory / "checkpoints"),
        nodes=2,
        spares=1,
    )
    job = render(request, directory)
    events: list[AnyEvent] = []
    killed = ""
    with ContainerRun(job, directory, builder.docker, tag("cpu"), mounts={directory: "rw", dataset: "ro"}) as run:
        for event in run.events():
            events.append(event)
            if isinstance(event, GenerationOpened) and event.generation == 0:
                [last] = [node for node, rank in event.ranks.items() if rank == 1]
            if isinstance(event, StepFinished) and event.step >= 5 and not killed:
                killed = last
                run.kill_node(killed)
        run.wait()
    finished = events[-1]
    assert isinstance(finished, RunFinished) and finished.outcome == "completed"
    first, second = [event for event in events if isinstance(event, GenerationOpened)]
    assert killed in first.ranks and second.lost_nodes == (killed,)
    assert second.restore_from == "memory" and second.restore_step is not None and second.restore_step >= 4
    assert {event.step for event in events if isinstance(event, StepFinished)} == set(range(1, finished.step + 1))
    assert CheckpointRepository(DirectoryStore(directory / "checkpoints")).steps()[0] == finished.step
    assert builder.docker("ps", "--all", "--quiet", "--filter", f"name={job.run}-") == ""
