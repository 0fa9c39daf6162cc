"""mirror.sh and apply.sh, run for real with stand-ins for AWS, the registries and the cluster."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from paceline.catalog.cluster_software import cluster_software
from paceline_constructs.eks.rendering import OwnImage, SoftwareProps, render, render_mirror
from tests.script_bench import Bench

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
MANIFEST = b"the manifest of everything"
ARCHIVE = b"the archive of everything"

pytestmark = pytest.mark.integration


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


# ECR as a folder: a file per repository and tag, which holds the digest
AWS = """
case "$1 $2" in
    "ecr get-login-password") echo secret ;;
    "ecr batch-get-image") cat "$ROOT/ecr/${4//\\//_}:${6#imageTag=}" 2>/dev/null || echo None ;;
    "eks update-kubeconfig") echo "for $4" >"$KUBECONFIG" ;;
esac
"""
# docker://SOURCE@DIGEST docker://REGISTRY/REPOSITORY:TAG
SKOPEO = f"""
case "$1" in
    login) grep -q secret ;;
    inspect) printf '{MANIFEST.decode()}' ;;
    copy)
        from="${{@: -2:1}}" to="${{@: -1}}"
        to="${{to#docker://{REGISTRY}/}}"
        echo "${{from##*@}}" >"$ROOT/ecr/${{to//\\//_}}"
        ;;
esac
"""
# pull CHART ... --version VERSION ... --destination FOLDER; push FILE oci://FOLDER; upgrade ... --values FILE
HELM = f"""
all="$*"
after() {{ local rest="${{all##*--$1 }}"; echo "${{rest%% *}}"; }}
case "$1" in
    registry) grep -q secret ;;
    pull) printf '{ARCHIVE.decode()}' >"$(after destination)/${{2##*/}}-$(after version).tgz" ;;
    push)
        file="${{2##*/}}"; file="${{file%.tgz}}"; folder="${{3#oci://{REGISTRY}/}}"
        echo "sha256:pushed" >"$ROOT/ecr/${{folder//\\//_}}_${{file%-*}}:${{file##*-}}"
        ;;
    upgrade) cat "$(after values)" >>"$ROOT/values" ;;
esac
"""


@pytest.fixture
def props() -> SoftwareProps:
    return SoftwareProps(
        team="alpha",
        repository_prefix="paceline/alpha",
        install=["jobset", "nvidia-device-plugin"],
        types=(),
        node_agent=OwnImage(repository="node-agent", tag=f"sha256:{'1' * 64}"),
        controller=OwnImage(repository="controller", tag="1.0"),
    )


class Project:
    """Both projects, with an empty registry."""

    def __init__(self, root: Path, props: SoftwareProps) -> None:
        self.bench = Bench(root / "build")
        (self.bench.root / "ecr").mkdir()
        for name, body in (("aws", AWS), ("skopeo", SKOPEO), ("helm", HELM), ("kubectl", "")):
            self.bench.stand_in(name, body)
        # the one variable of these files
        self.bench.stand_in("envsubst", f'sed "s|[$]{{REGISTRY}}|{REGISTRY}|g"')
        self.mirror_folder = self._lay_out("mirror", render_mirror(props))
        self.apply_folder = self._lay_out("apply", render(props))

    def _lay_out(self, name: str, texts: dict[str, str]) -> Path:
        for path, text in texts.items():
            target = self.bench.root / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return self.bench.root / name

    def pin(self, archive: bytes = ARCHIVE) -> None:
        """Let the reviewed digest of every archive be that of `archive`."""
        reviewed = cluster_software()["nvidia-device-plugin"].chart.digest
        assert reviewed is not None
        for path in (self.mirror_folder / "mirror.tsv", self.apply_folder / "mirror.tsv"):
            path.write_text(path.read_text().replace(reviewed, digest(archive)))
        path = self.apply_folder / "releases.tsv"
        path.write_text(path.read_text().replace(reviewed, digest(archive)))

    def mirror(self) -> subprocess.CompletedProcess[str]:
        return self.bench.run(self.mirror_folder / "mirror.sh", REGISTRY=REGISTRY)

    def apply(self) -> subprocess.CompletedProcess[str]:
        return self.bench.run(
            self.apply_folder / "apply.sh",
            CLUSTER_NAME="paceline-alpha",
            REGISTRY=REGISTRY,
            CHARTS=f"{REGISTRY}/paceline/alpha/charts",
            MIRROR_PROJECT="alpha-mirror",
        )


@pytest.fixture
def project(tmp_path: Path, props: SoftwareProps) -> Project:
    found = Project(tmp_path, props)
    found.pin()
    return found


# mirror ----------------------------------------------------------------------------------------------------------


def test_everything_is_copied_by_its_digest_and_only_once(project: Project) -> None:
    done = project.mirror()
    assert (done.returncode, done.stderr) == (0, "")
    image = cluster_software()["jobset"].images[0]
    copied = project.bench.called("skopeo copy")
    assert (
        f"skopeo copy --all --preserve-digests --retry-times 3 docker://{image.name}@{image.digest}"
        f" docker://{REGISTRY}/paceline/alpha/images/jobset:{image.tag}"
    ) in copied
    assert len(copied) == 3  # two images, and the chart that lies in a registry
    assert [call.split()[-1] for call in project.bench.called("helm push")] == [
        f"oci://{REGISTRY}/paceline/alpha/charts"
    ]

    done = project.mirror()
    assert done.returncode == 0
    assert not project.bench.called("skopeo copy") and not project.bench.called("helm push")


def test_what_a_cut_off_run_left_out_is_copied_by_the_next(project: Project) -> None:
    project.bench.stand_in("helm", HELM.replace("push)", "push) exit 7 ;; never)"))
    assert project.mirror().returncode == 7
    project.bench.stand_in("helm", HELM)
    assert project.mirror().returncode == 0
    assert project.bench.called("helm push")


def test_an_archive_that_was_changed_is_not_pushed(project: Project) -> None:
    project.pin(ARCHIVE)
    project.bench.stand_in("helm", HELM.replace(ARCHIVE.decode(), "something else"))
    done = project.mirror()
    assert done.returncode == 1
    assert f"is {digest(b'something else')}, and the catalog says {digest(ARCHIVE)}" in done.stderr
    assert not project.bench.called("helm push")
    assert len(project.bench.called("skopeo copy")) == 3  # the others were copied nevertheless


def test_a_copy_of_something_else_is_told(project: Project) -> None:
    project.mirror()
    (project.bench.root / "ecr" / "paceline_alpha_images_jobset:v0.12.0").write_text("sha256:other\n")
    done = project.mirror()
    assert done.returncode == 1
    assert "images/jobset:v0.12.0 is sha256:other, and the catalog says sha256:" in done.stderr


def test_what_has_no_digest_is_not_copied_but_printed_for_review(tmp_path: Path) -> None:
    neuron = SoftwareProps(
        team="alpha", repository_prefix="paceline/alpha", install=["kueue", "prometheus-agent"], types=()
    )
    project = Project(tmp_path, neuron)
    done = project.mirror()
    assert done.returncode == 1
    assert (
        f"registry.k8s.io/kueue/kueue v0.18.3 has no digest in the catalog; upstream offers {digest(MANIFEST)}"
        in done.stderr
    )
    assert (
        f"helm-charts/prometheus 29.27.0 has no digest in the catalog; upstream offers {digest(ARCHIVE)}" in done.stderr
    )
    assert "write its digest into cluster_software.yaml" in done.stderr
    assert [call.split()[-1].split("/")[-1] for call in project.bench.called("skopeo copy")] == ["prometheus:v3.14.0"]


def test_a_private_registry_of_aws_is_logged_in_to_in_its_own_region(tmp_path: Path) -> None:
    efa = SoftwareProps(team="alpha", repository_prefix="paceline/alpha", install=["efa-device-plugin"], types=())
    project = Project(tmp_path, efa)
    project.mirror()
    assert "aws ecr get-login-password --region us-west-2" in project.bench.calls
    assert (
        "skopeo login --username AWS --password-stdin 602401143452.dkr.ecr.us-west-2.amazonaws.com"
        in project.bench.calls
    )


@pytest.mark.parametrize("script", ["mirror", "apply"])
def test_a_missing_tool_is_named_before_anything_is_done(project: Project, script: str) -> None:
    (project.bench.root / "bin" / "helm").unlink()
    done = getattr(project, script)()
    assert done.returncode == 1
    assert done.stderr.startswith("error: the image of this project lacks helm\n\nhint: build it anew")
    assert project.bench.calls == []


def test_an_answer_of_ecr_that_is_not_an_answer_ends_the_copying(project: Project) -> None:
    project.bench.stand_in("aws", AWS.replace('"ecr batch-get-image")', '"ecr batch-get-image") exit 254 ;; never)'))
    assert project.mirror().returncode == 254
    assert not project.bench.called("skopeo copy")


# apply -----------------------------------------------------------------------------------------------------------


def test_nothing_is_installed_from_an_incomplete_mirror(project: Project) -> None:
    project.mirror()
    (project.bench.root / "ecr" / "paceline_alpha_images_jobset:v0.12.0").unlink()
    (project.bench.root / "ecr" / "paceline_alpha_charts_jobset:0.12.0").write_text("sha256:other\n")
    done = project.apply()
    assert done.returncode == 1
    problem, hint = done.stderr.strip().split("\n\n")
    assert problem.splitlines()[0] == "error: the mirror is incomplete:"
    assert "  registry.k8s.io/jobset/jobset v0.12.0" in problem.splitlines()
    assert "charts/jobset 0.12.0: the copy is sha256:other, not the reviewed sha256:" in problem
    assert hint == "hint: start the project alpha-mirror, and then this one again"
    assert not project.bench.called("kubectl") and not project.bench.called("helm")


def test_everything_is_installed_in_order_and_again(project: Project) -> None:
    project.mirror()
    for _ in range(2):
        done = project.apply()
        assert (done.returncode, done.stderr) == (0, "")
        steps = [call.split()[:3] for call in project.bench.calls if call.startswith(("helm upgrade", "kubectl"))]
        assert steps == [
            ["kubectl", "apply", "--server-side"],
            ["helm", "upgrade", "jobset"],
            ["helm", "upgrade", "nvidia-device-plugin"],
            ["kubectl", "rollout", "status"],
            ["kubectl", "rollout", "status"],
        ]
    assert (
        f"repository: {REGISTRY}/paceline/alpha/images/k8s-device-plugin" in (project.bench.root / "values").read_text()
    )


def test_a_chart_that_was_pushed_by_someone_else_is_refused(project: Project) -> None:
    project.mirror()
    project.bench.stand_in("helm", HELM.replace(ARCHIVE.decode(), "something else"))
    done = project.apply()
    assert done.returncode == 1
    assert "the copy of nvidia-device-plugin 0.20.0 is not the reviewed one" in done.stderr
    assert not project.bench.called("helm upgrade nvidia")


@pytest.mark.parametrize(
    ("command", "body", "problem"),
    [
        ("helm", HELM.replace("upgrade)", "upgrade) exit 1 ;; never)"), "jobset 0.12.0 does not become ready"),
        ("kubectl", '[ "$1" != apply ]', "the cluster refused the manifests"),
        ("kubectl", '[ "$1" != rollout ]', "daemonset/paceline-agent does not become ready"),
    ],
)
def test_what_the_cluster_says_no_to_is_told(project: Project, command: str, body: str, problem: str) -> None:
    project.mirror()
    project.bench.stand_in(command, body)
    done = project.apply()
    assert done.returncode == 3
    assert f"error: {problem}\n\nhint: " in done.stderr


def test_nothing_is_left_behind(project: Project) -> None:
    project.mirror()
    project.apply()
    assert not list(project.bench.root.glob("tmp.*"))
