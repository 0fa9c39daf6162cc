"""What every scene runs on: an API server with the accounts and roles of our manifests. This one is the double."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from paceline.clients.kubernetes import RestKubernetes
from tests.kubernetes.double import Double, serve
from tests.kubernetes.rights import ADMIN, AGENT, CONTROLLER, Right, granted
from tests.kubernetes.world import Admin


class Cluster(Protocol):
    """An API server with the accounts and roles of our manifests."""

    admin: Admin

    def client(self, user: str) -> RestKubernetes:
        """As this account, by a token in a file, as a pod has it."""
        ...

    def calls(self, user: str) -> set[Right]:
        """What the server let this account do so far."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class InMemory:
    """The double. It takes the roles from the manifests themselves."""

    admin: Admin
    double: Double
    url: str
    tokens: Path

    def client(self, user: str) -> RestKubernetes:
        return RestKubernetes(self.url, self.tokens / user)

    def calls(self, user: str) -> set[Right]:
        return set(self.double.calls[user])


@contextmanager
def in_memory(place: Path) -> Iterator[InMemory]:
    """The double, until the context ends."""
    tokens = give_tokens(place)
    rights = {user: granted(user) for user in (CONTROLLER, AGENT)}
    double = Double(tokens, lambda user, right: user == ADMIN or right in rights[user])
    with serve(double) as url:
        yield InMemory(admin=Admin(url, place / ADMIN), double=double, url=url, tokens=place)


def give_tokens(place: Path) -> dict[str, str]:
    """Users by token. Each token is in a file of the user's name, as a pod finds its own."""
    users = {secrets.token_hex(16): user for user in (ADMIN, CONTROLLER, AGENT)}
    for token, user in users.items():
        (place / user).write_text(token)
    return users
