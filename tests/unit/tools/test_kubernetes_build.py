"""The build of an API server, without building one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.images.debian import UnavailableError
from tools.kubernetes import described, programs, state


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_what_was_not_built_is_told_with_its_cure() -> None:
    made = state() / "bin"
    made.mkdir(parents=True)
    (made / "kube-apiserver").touch()
    with pytest.raises(UnavailableError, match="make kubernetes"):
        programs()
    (made / "etcd").touch()
    assert programs() == made


def test_packages_that_ask_for_it_are_described(tmp_path: Path) -> None:
    files = {
        "pkg/apis/a/types.go": "// +k8s:openapi-gen=true\npackage a",
        "pkg/apis/a/more.go": "package a",
        "pkg/apis/b/types.go": "package b // +k8s:openapi-gen=true is not said here",
        "cmd/c/doc.go": "//+k8s:openapi-gen=true\n",
        "cmd/c/testdata/doc.go": "// +k8s:openapi-gen=true\n",
        "staging/src/k8s.io/api/v1/doc.go": "// +k8s:openapi-gen=true\n",
        "staging/src/k8s.io/sample-apiserver/doc.go": "// +k8s:openapi-gen=true\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    assert described(tmp_path) == [
        "k8s.io/kubernetes/pkg/apis/a",
        "k8s.io/kubernetes/cmd/c",
        "k8s.io/kubernetes/vendor/k8s.io/api/v1",
    ]
