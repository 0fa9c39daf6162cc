"""A service whose API speaks JSON: operations by name (header X-Amz-Target) or by method and path (REST).

An operation is registered as `DescribeFileSystems`, or as `GET /workspaces/{workspaceId}`. It gets the request's body,
the path's parameters and the query's values in one mapping.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

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
    """Serve `operations` to requests that are signed for `signing_name`; ministack goes on with the others it knows."""
    before = app.SERVICE_HANDLERS.get(signing_name)
    routes = [(_pattern(name), operation) for name, operation in operations.items() if " " in name]

    async def handle(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Mapping[str, list[str]]
    ) -> Response:
        name = headers.get("x-amz-target", "").rsplit(".", 1)[-1] or f"{method} {path}"
        request = {key: values[0] for key, values in query.items() if values} | json.loads(body or b"{}")
        found = operations.get(name)
        for pattern, operation in routes:
            if match := pattern.fullmatch(name):
                request |= {key: unquote(value) for key, value in match.groupdict().items()}
                found = operation
        if found is None and before is not None:
            answer: Response = await before(method, path, headers, body, query)
            return answer
        if found is None:
            log.warning("%s %s is not answered by the embedded AWS", signing_name, name)
            message = f"the embedded AWS does not answer {signing_name} {name}"
            return _response(400, {"__type": "UnknownOperationException", "message": message})
        try:
            return _response(200, found(request))
        except ServiceError as error:
            return _response(400, {"__type": error.code, "message": str(error)})

    app.SERVICE_HANDLERS[signing_name] = handle
    if before is None:
        router.SERVICE_PATTERNS[signing_name] = {"host_patterns": [rf"^{signing_name}\."]}


def _pattern(name: str) -> re.Pattern[str]:
    """`GET /a/{b}` as an expression with the group b."""
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", name) + "/?")


def _response(status: int, document: Mapping[str, Any]) -> Response:
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    if "__type" in document:
        headers["x-amzn-ErrorType"] = document["__type"]  # where REST services put it
    return status, headers, json.dumps(document).encode()
