"""A service of AWS's JSON protocol: the operation is in the header X-Amz-Target, request and answer are JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ministack import app
from ministack.core import router

Request = Mapping[str, Any]
Operation = Callable[[Request], dict[str, Any]]
Response = tuple[int, dict[str, str], bytes]

log = logging.getLogger("paceline.local.aws")


class ServiceError(Exception):
    """An error that the service's API declares."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def install(signing_name: str, operations: Mapping[str, Operation]) -> None:
    """Serve `operations` to requests that are signed for `signing_name`."""

    async def handle(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, list[str]]
    ) -> Response:
        name = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
        if name not in operations:
            log.warning("%s.%s is not answered by the embedded AWS", signing_name, name)
            message = f"the embedded AWS does not answer {signing_name} {name}"
            return _response(400, {"__type": "UnknownOperationException", "message": message})
        try:
            return _response(200, operations[name](json.loads(body or b"{}")))
        except ServiceError as error:
            return _response(400, {"__type": error.code, "message": str(error)})

    app.SERVICE_HANDLERS[signing_name] = handle
    router.SERVICE_PATTERNS[signing_name] = {"host_patterns": [rf"^{signing_name}\."]}


def _response(status: int, document: Mapping[str, Any]) -> Response:
    return status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()
