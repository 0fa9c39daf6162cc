"""A run whose coordinator and nodes are containers: what the launcher of this machine starts as processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from paceline.launch.local.run import LocalRun
from paceline.spec.job import JobSpec
from tools.images.engine import Docker


class ContainerRun(LocalRun):
    """Each process of the run has a container of its own: own file system, own memory, own processes.

    The run's directory lies at the same path in all of them, as a shared file system does. Their network is the
    machine's, where nodes speak over loopback.
    """

    def __init__(
        self, job: JobSpec, directory: Path, docker: Docker, image: str, *, mounts: Mapping[Path, str]
    ) -> None:
        super().__init__(job, directory, docker.environment)
        self._docker, self._image, self._mounts = docker, image, mounts
        self._containers: list[str] = []

    def kill_node(self, node: str) -> None:
        """SIGKILL to all that runs in the node's container."""
        self._docker("kill", self._container(node))

    def kill(self) -> None:
        if self._containers:
            self._docker.attempt("rm", "--force", "--volumes", *self._containers)
        super().kill()

    def _spawn(self, module: str, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
        # the last argument is the launcher's process: a container ends by our hand, not with its parent
        name = "coordinator" if module.endswith("coordinator") else arguments[1]
        container = self._container(name)
        self._containers.append(container)
        options = ["--rm", "--name", container, "--network", "host", "--user", f"{os.getuid()}:{os.getgid()}"]
        options += ["--read-only", "--tmpfs", "/tmp", "--shm-size", "256m", "--ulimit", "nofile=1024:1024"]
        options += [f"--volume={path}:{path}:{mode}" for path, mode in self._mounts.items()]
        for variable in self._environment.keys() - self._docker.environment.keys() | {"OMP_NUM_THREADS"}:
            options += ["--env", variable]  # its value is taken from our environment: a token is not to be listed
        with log.open("ab") as output:
            return subprocess.Popen(
                [
                    self._docker.program,
                    "run",
                    *options,
                    "--entrypoint",
                    "python",
                    self._image,
                    "-m",
                    module,
                    *arguments[:-1],
                ],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _container(self, name: str) -> str:
        return f"{self.job.run}-{name}-{self.job.coordinator_port}"
