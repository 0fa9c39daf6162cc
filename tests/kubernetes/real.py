"""Kubernetes' own API server (tools/kubernetes.py) on etcd. Everything ends with the process that started it.

There are no controllers and no kubelets: nodes, pods and the counts of disruption budgets are what the tests write.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline.clients.kubernetes import RestKubernetes
from paceline.spec.errors import ClusterError
from paceline.supervise.process import die_with_parent
from tests.kubernetes.clusters import give_tokens
from tests.kubernetes.rights import ADMIN, Right, collection, manifests
from tests.kubernetes.world import Admin
from tools.kubernetes import programs

Object = dict[str, Any]

# 1.20 knows them by this name only; their fields are those of today
_OLDER = {"policy/v1": "policy/v1beta1"}
_START_SECONDS = 200
_ACCESS = ("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class Client(RestKubernetes):
    """Says what 1.20 knows under another name."""

    def ask(self, path: str, body: Object) -> Object:
        """Create something, and see what became of it."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Object | None = None, **more: Any) -> Object:
        for new, old in _OLDER.items():
            path = path.replace(f"/apis/{new}/", f"/apis/{old}/")
            if body is not None and body.get("apiVersion") == new:
                body = {**body, "apiVersion": old}
        return super()._call(method, path, body, **more)


class RealAdmin(Client, Admin):
    """Somebody who may do everything, on 1.20."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Real:
    """`place` holds tokens, certificates, logs and what etcd keeps."""

    admin: RealAdmin
    url: str
    place: Path

    def client(self, user: str) -> Client:
        return Client(self.url, self.place / user, _authority(self.place))

    def calls(self, user: str) -> set[Right]:
        # but for the question what it may do, which everybody may ask
        entries = map(json.loads, (self.place / "audit.log").read_text(encoding="utf-8").splitlines())
        return {
            _right(entry["objectRef"], entry["verb"])
            for entry in entries
            if entry["user"]["username"] == user
            and entry["responseStatus"]["code"] != 403
            and entry["objectRef"].get("apiGroup") != "authorization.k8s.io"
        }


@contextmanager
def real(place: Path) -> Iterator[Real]:
    """A fresh server with our accounts and roles, until the context ends; UnavailableError where none was built."""
    made = programs()
    _write_files(place)
    store, peers, port = (_free_port() for _ in range(3))
    url = f"https://127.0.0.1:{port}"
    options = {
        "etcd": {
            "data-dir": place / "etcd",
            "listen-client-urls": f"http://127.0.0.1:{store}",
            "advertise-client-urls": f"http://127.0.0.1:{store}",
            "listen-peer-urls": f"http://127.0.0.1:{peers}",
            "unsafe-no-fsync": "true",
        },
        "kube-apiserver": {
            "etcd-servers": f"http://127.0.0.1:{store}",
            "bind-address": "127.0.0.1",
            "secure-port": port,
            "insecure-port": 0,
            "advertise-address": "192.0.2.1",  # nobody goes there; it refuses one of loopback
            "service-cluster-ip-range": "10.0.0.0/24",
            "cert-dir": place / "certificates",
            "token-auth-file": place / "tokens.csv",
            "allow-privileged": "true",  # as EKS: the agent is
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://paceline.test",
            "service-account-key-file": place / "key.pem",
            "service-account-signing-key-file": place / "key.pem",
            "disable-admission-plugins": "ServiceAccount,TaintNodesByCondition",  # their controllers do not run
            "audit-policy-file": place / "audit.json",
            "audit-log-path": place / "audit.log",
        },
    }
    with ExitStack() as stack:
        for name, given in options.items():
            stack.enter_context(_running(made / name, given, place))
        _wait_for(_authority(place).exists)
        admin = RealAdmin(url, place / ADMIN, _authority(place))
        _wait_for(lambda: _is_ready(admin))
        for document in manifests():
            if document["kind"] in _ACCESS:
                admin.create(collection(document), document)
        yield Real(admin=admin, url=url, place=place)


@contextmanager
def _running(program: Path, options: dict[str, Any], place: Path) -> Iterator[None]:
    parent = os.getpid()
    with (place / f"{program.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *(f"--{name}={value}" for name, value in options.items())],
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: die_with_parent(parent),
        )
    try:
        yield
    finally:
        process.kill()  # what it keeps is not wanted any more
        process.wait()


def _write_files(place: Path) -> None:
    rows = [
        f"{token},{user},{user}{',system:masters' if user == ADMIN else ''}"
        for token, user in give_tokens(place).items()
    ]
    (place / "tokens.csv").write_text("\n".join(rows) + "\n")
    (place / "audit.json").write_text(json.dumps(_AUDIT))
    subprocess.run(["openssl", "genrsa", "-out", place / "key.pem", "2048"], check=True, capture_output=True)


def _authority(place: Path) -> Path:
    """The server's certificate, with that of the authority it made for itself."""
    return place / "certificates" / "apiserver.crt"


def _is_ready(admin: Admin) -> bool:
    """Whether it answers and has made its own roles."""
    try:
        return admin.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin") is not None
    except ClusterError:
        return False


def _right(about: Object, verb: str) -> Right:
    resource = "/".join(part for part in (about["resource"], about.get("subresource")) if part)
    return Right(about.get("apiGroup", ""), resource, verb)


def _wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + _START_SECONDS
    while not what():
        assert time.monotonic() < end, "the API server did not start: its log is beside its certificates"
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
