"""A Kubernetes API server for tests, built from Debian's source package: python -m tools.kubernetes

1.20.2 is the newest that a Debian release holds as a whole tree; newer packages hold kubectl only. Go, etcd and the
source are unpacked under the cache directory of the user, and nothing is installed. It takes minutes on two quiet
cores, once; what was compiled before an interruption is kept. No controllers and no kubelets: tests do themselves what
those would.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tools.images.debian import UnavailableError, call, source, unpack

VERSION = "1.20.2"
_PROGRAM = "kube-apiserver"

_SUITE = "bookworm"
_GO = ("golang-1.19-go", "golang-1.19-src", "golang-github-modern-go-reflect2-dev")
_REFLECT2 = "github.com/modern-go/reflect2"
_MARK = re.compile(r"^// ?\+k8s:openapi-gen=true", re.MULTILINE)
_LEFT_OUT = re.compile(r"sample|code-generator|/testdata|wardle|examples")


def state() -> Path:
    """Where everything is kept, for all checkouts of the user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "paceline" / f"kubernetes-{VERSION}"


def programs() -> Path:
    """The directory with kube-apiserver and etcd. UnavailableError where they were not made."""
    made = state() / "bin"
    if not all((made / name).exists() for name in (_PROGRAM, "etcd")):
        raise UnavailableError("no API server was built: `make kubernetes` does it once, in some minutes")
    return made


def build(say: Callable[[str], None]) -> None:
    """Make what is missing; `say` hears of each step. UnavailableError with the words of what failed."""
    place = state()
    made = place / "bin"
    made.mkdir(parents=True, exist_ok=True)
    if not (made / "etcd").exists():
        say("etcd, from Debian")
        shutil.copy2(unpack(_SUITE, ["etcd-server"], place / "etcd") / "usr/bin/etcd", made / "etcd")
    if not (made / _PROGRAM).exists():
        say("Go and the source, from Debian")
        go = _Go(place)
        tree = _tree(place, go)
        say("the description of the API")
        _describe(go, tree)
        say(_PROGRAM)
        part = made / f"{_PROGRAM}.part"
        go("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(part), f"./cmd/{_PROGRAM}", folder=tree)
        part.replace(made / _PROGRAM)
    for left in set(place.iterdir()) - {made}:  # 4 GB
        shutil.rmtree(left)


class _Go:
    """Debian's Go, not installed, and what it builds with."""

    def __init__(self, place: Path) -> None:
        root = unpack(_SUITE, _GO, place / "go")
        self.reflect2 = root / "usr/share/gocode/src" / _REFLECT2
        home = root / "usr/lib/go-1.19"
        self._environment = {
            **os.environ,
            "GOROOT": str(home),
            "GOPATH": str(place / "path"),
            "GOCACHE": str(place / "cache"),
            "GO111MODULE": "off",  # as modules it refuses the tree: "updates to go.mod needed"
            "CGO_ENABLED": "0",
            "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        }

    def __call__(self, *command: str, folder: Path) -> None:
        """`go build` and the like, or a program that reads packages of Go."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise UnavailableError(f"{' '.join(command[:2])} ended with {done.returncode}: {done.stderr[-2000:]}")


def _tree(place: Path, go: _Go) -> Path:
    """The source, with a reflect2 that a Go of today can run: with the tree's own the API server dies at its start."""
    tree = place / "path/src/k8s.io/kubernetes"
    if not tree.exists():
        part = place / "part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        archived = source(_SUITE, "kubernetes", place / "source")
        call(["tar", "--extract", "--strip-components=1", f"--directory={part}", f"--file={archived}"])
        vendored = part / "vendor" / _REFLECT2
        shutil.rmtree(vendored)
        shutil.copytree(go.reflect2, vendored, ignore=shutil.ignore_patterns("*_test.go"))
        tree.parent.mkdir(parents=True, exist_ok=True)
        part.rename(tree)
    return tree


def _describe(go: _Go, tree: Path) -> None:
    """Generate the OpenAPI description, which the source package leaves out, from the packages that are marked."""
    generated = tree / "pkg/generated/openapi/zz_generated.openapi.go"
    if generated.exists():
        return
    generator = tree / "openapi-gen"
    go("go", "build", "-o", str(generator), "./vendor/k8s.io/kube-openapi/cmd/openapi-gen", folder=tree)
    arguments = ["-O", "zz_generated.openapi", "-p", "k8s.io/kubernetes/pkg/generated/openapi"]
    arguments += ["--go-header-file", "hack/boilerplate/boilerplate.generatego.txt", "-r", "violations.txt"]
    arguments += ["-i", ",".join(described(tree)), "--output-base", str(tree.parents[1])]
    go(str(generator), *arguments, folder=tree)


def described(tree: Path) -> list[str]:
    """The packages that ask for a description, by their import paths."""
    own = (f"k8s.io/kubernetes/{path}" for path in (*_marked(tree, "pkg"), *_marked(tree, "cmd")))
    staged = (f"k8s.io/kubernetes/vendor/{path}" for path in _marked(tree / "staging/src", "k8s.io"))
    return [*own, *staged]


def _marked(root: Path, below: str) -> list[str]:
    """The directories under `root` with a file that is marked."""
    files = (path for path in (root / below).rglob("*.go") if not _LEFT_OUT.search(str(path.relative_to(root))))
    marked = {path.parent for path in files if _MARK.search(path.read_text(encoding="utf-8"))}
    return sorted(str(path.relative_to(root)) for path in marked)


def main() -> None:
    """Build, and say how long each step took."""
    begin = time.monotonic()
    try:
        build(lambda step: print(f"{time.monotonic() - begin:5.0f} s  {step}", file=sys.stderr, flush=True))
    except UnavailableError as reason:
        sys.exit(f"error: no Kubernetes can be built here: {reason}")
    except KeyboardInterrupt:
        print("interrupted; `make kubernetes` goes on from here", file=sys.stderr)
        sys.exit(130)
    print(programs())


if __name__ == "__main__":
    main()
