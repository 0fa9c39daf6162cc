"""The Dockerfiles of accelerators, on stand-ins for their bases: every instruction of ours is carried out, and the
guards fail a build whose base, or whose packages, are not what the matrix says.

The real bases are pulled only where their registries can be reached; docs/guides/build-and-sign-images.md has the
commands that accept the real images on a machine with the device.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paceline.images.matrix import read
from tests.integration.conftest import Builder
from tools.images.build import ROOT, Order, tag
from tools.images.engine import DockerError

pytestmark = [pytest.mark.integration, pytest.mark.images, pytest.mark.timeout(900)]

FIXTURES = Path(__file__).parent / "fixtures"
MATRIX = read(ROOT / "images" / "versions.toml").matrix
ACCELERATORS = ("gpu", "trainium", "trainium-native")
StandIn = Callable[[str], str]


@pytest.fixture(scope="module")
def stand_in(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """The name of a stand-in for an image's base. It is made of the CPU image: that has Python and PyTorch."""
    builder.build(Order(name="cpu", base=builder.base))

    def make(image: str) -> str:
        context = tmp_path_factory.mktemp(image)
        for file in (FIXTURES / "stand_in.py", ROOT / "images" / "versions.toml"):
            shutil.copy(file, context / file.name)
        shutil.copy(ROOT / "images" / image / "requirements.txt", context / "requirements.txt")
        contents = MATRIX.images[image].contents.values()
        variables = [
            (part.probe or "", part.version) for part in contents if (part.probe or "").startswith("variable:")
        ]
        lines = [
            f"FROM {tag('cpu')}",
            "USER root",
            "RUN userdel paceline",
            "ENV LD_LIBRARY_PATH=/opt/stand-in/lib",
            *(f"ENV {probe.partition(':')[2]}={version}" for probe, version in variables),
            "COPY . /opt/stand-in/",
            f"RUN python /opt/stand-in/stand_in.py {image}",
        ]
        (context / "Dockerfile").write_text("\n".join(lines) + "\n")
        name = f"localhost/stand-in:{image}"
        network = ["--network", "host"] if builder.docker.own else []
        builder.docker("build", *network, "--tag", name, str(context))
        return name

    return make


@pytest.fixture
def nccl_tests(tmp_path: Path) -> dict[str, Path]:
    """Sources for the GPU image that say the right version of themselves."""
    version = MATRIX.images["gpu"].contents["nccl-tests"].version
    header = tmp_path / "nccl-tests" / "src" / "common.h"
    header.parent.mkdir(parents=True)
    header.write_text(f'#define NCCL_TESTS_VERSION "{version}"\n')
    return {"nccl-tests-source": tmp_path / "nccl-tests"}


@pytest.mark.parametrize("image", ACCELERATORS)
def test_every_instruction_is_carried_out(
    builder: Builder, stand_in: StandIn, nccl_tests: dict[str, Path], image: str
) -> None:
    contexts = nccl_tests if image == "gpu" else {}
    builder.build(Order(name=image, base=stand_in(image), contexts=contexts))
    said = builder.docker("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", tag(image), "--version")
    assert said.startswith("paceline ")


def test_a_base_that_is_not_what_the_matrix_says_fails_the_build(
    builder: Builder, stand_in: StandIn, nccl_tests: dict[str, Path], tmp_path: Path
) -> None:
    spoiled = tmp_path / "spoiled"
    spoiled.mkdir()
    remove = "rm /opt/stand-in/lib/libnccl-net-ofi.so && echo 1.0.0 >/opt/amazon/efa_installed_packages"
    (spoiled / "Dockerfile").write_text(f"FROM {stand_in('gpu')}\nRUN {remove}\n")
    network = ["--network", "host"] if builder.docker.own else []
    builder.docker("build", *network, "--tag", "localhost/stand-in:spoiled", str(spoiled))
    with pytest.raises(DockerError) as failure:
        builder.build(Order(name="gpu", base="localhost/stand-in:spoiled", contexts=nccl_tests))
    assert "aws-ofi-nccl: not found (library:libnccl-net-ofi.so)" in str(failure.value)
    assert "efa: 1.0.0 is inside, versions.toml says" in str(failure.value)


@pytest.mark.parametrize(
    ("image", "package", "version", "message"),
    [
        ("gpu", "torch", "2.13.1", "and 2.13.1 "),
        ("trainium", "neuronx-hwm", "0.1", "neuronx-hwm: 0.1 "),
    ],
    ids=["PyTorch resolved again", "a placeholder of Neuron's from PyPI"],
)
def test_a_package_that_does_not_belong_inside_fails_the_build(
    builder: Builder,
    stand_in: StandIn,
    nccl_tests: dict[str, Path],
    tmp_path: Path,
    image: str,
    package: str,
    version: str,
    message: str,
) -> None:
    context, wheels = tmp_path / "context", tmp_path / "wheels"
    wheels.mkdir()
    for name in ("images", "training"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("docker-bake.hcl", ".dockerignore"):
        shutil.copy(ROOT / name, context / name)
    digest = make_wheel(wheels, package, version)
    with (context / "images" / image / "requirements.txt").open("a") as file:
        file.write(f"{package}=={version} --hash=sha256:{digest}\n")
    pip_conf = tmp_path / "pip.conf"
    lines = builder.lent.secrets["pip_conf"].read_text().splitlines()
    lines = [line for line in lines if not line.startswith("find-links")]
    pip_conf.write_text("\n".join([*lines, "find-links = /opt/wheels"]) + "\n")
    lent = replace(builder.lent, secrets={**builder.lent.secrets, "pip_conf": pip_conf}, contexts={"wheels": wheels})
    contexts = nccl_tests if image == "gpu" else {}
    order = Order(name=image, base=stand_in(image), contexts=contexts, context=context)
    with pytest.raises(DockerError) as failure:
        replace(builder, lent=lent).build(order)
    assert message in str(failure.value)


def make_wheel(folder: Path, package: str, version: str) -> str:
    """A wheel that holds nothing; its SHA-256."""
    name = f"{package.replace('-', '_')}-{version}"
    files = {
        f"{name}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        f"{name}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in files) + f"{name}.dist-info/RECORD,,\n"
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{name}.dist-info/RECORD": record}.items():
            archive.writestr(path, text)
    return hashlib.sha256(wheel.read_bytes()).hexdigest()
