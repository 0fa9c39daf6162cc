"""What a container registry says of a tag (OCI distribution specification 1.1, with the token flow of Docker's)."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from paceline.spec.errors import ImageError

_TIMEOUT = 20.0
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
# Docker Hub's images bear one name, and its registry answers to another
_HOSTS = {"docker.io": "registry-1.docker.io"}


def digest(name: str, tag: str) -> str:
    """The digest that `tag` of the public image `name` (with its registry) leads to now: `sha256:...`.

    For an image of several platforms that of the list. ImageError if the registry cannot be reached, asks for a
    password, or does not know the tag.
    """
    host, _, repository = name.partition("/")
    host = _HOSTS.get(host, host)
    scheme = "http" if urlsplit(f"//{host}").hostname in ("127.0.0.1", "localhost") else "https"
    url = f"{scheme}://{host}/v2/{repository}/manifests/{tag}"
    headers = {"Accept": ", ".join(_MANIFESTS)}
    try:
        try:
            return _ask(url, headers)
        except HTTPError as refusal:
            if refusal.code != 401:
                raise
            challenge = dict(_CHALLENGE.findall(refusal.headers.get("WWW-Authenticate", "")))
        if "realm" not in challenge:
            raise ImageError(f"{name}:{tag}: {host} asks for a password", "pin what is public, or mirror it first")
        return _ask(url, headers | {"Authorization": f"Bearer {_token(challenge)}"})
    except HTTPError as cause:
        hint = "check the name and the tag" if cause.code == 404 else "try again later"
        raise ImageError(f"{name}:{tag}: {host} answers {cause.code} {cause.reason}", hint) from cause
    except (URLError, OSError, ValueError) as cause:
        reason = getattr(cause, "reason", cause)
        raise ImageError(
            f"{name}:{tag}: {host} cannot be reached: {reason}", "pin on a machine that reaches the registry"
        ) from cause


def _ask(url: str, headers: dict[str, str]) -> str:
    with urlopen(Request(url, headers=headers, method="HEAD"), timeout=_TIMEOUT) as answer:
        found = str(answer.headers.get("Docker-Content-Digest", ""))
    if not _DIGEST.fullmatch(found):
        raise ValueError(f"it gives no digest, but {found!r}")
    return found


def _token(challenge: dict[str, str]) -> str:
    query = urlencode([(key, value) for key, value in challenge.items() if key in ("service", "scope")])
    with urlopen(f"{challenge['realm']}?{query}", timeout=_TIMEOUT) as answer:
        grant: dict[str, Any] = json.load(answer)
    return str(grant.get("token") or grant.get("access_token") or "")
