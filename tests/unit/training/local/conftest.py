"""The overlay inside this process: ministack's engine and tables without its server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from ministack import app
from ministack.core import responses
from ministack.core.router import detect_service
from ministack.services.cloudformation import provisioners

from paceline.local.aws import main
from paceline.local.aws.store import Store

Provision = Callable[[str, dict[str, Any]], tuple[str, dict[str, Any]]]


@pytest.fixture(scope="session")
def installed() -> Store:
    return main.install()


@pytest.fixture
def store(installed: Store) -> Store:
    """The overlay's store, empty, on an account and region that ministack has not seen before."""
    installed.reset()
    return installed


@pytest.fixture
def account(store: Store) -> str:
    """An account of its own for each test, so that nothing of ministack's state is shared."""
    number = str(next(_numbers))
    responses.set_request_account_id(number)
    responses.set_request_region("us-east-1")
    return number


@pytest.fixture
def provision(account: str) -> Provision:
    """Create one resource as the engine would; its physical id and attributes."""

    def create(type_name: str, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        created: tuple[str, dict[str, Any]] = provisioners._provision_resource(
            type_name, "Thing", properties, "sandbox-Test"
        )
        return created

    return create


_numbers = iter(range(100000000001, 999999999999))


@pytest.fixture
def client(account: str) -> Callable[[str], Any]:
    """A boto3 client whose requests are answered in this process: the SDK's own writing and reading, no server."""

    def answer(request: Any, **_: Any) -> AWSResponse:
        headers = {
            key.lower(): value.decode() if isinstance(value, bytes) else value for key, value in request.headers.items()
        }
        place = urlsplit(request.url)
        query = parse_qs(place.query, keep_blank_values=True)  # S3: ?lifecycle
        service = detect_service(request.method, place.path, headers, query)
        body = request.body.read() if hasattr(request.body, "read") else request.body or b""
        body = body.encode() if isinstance(body, str) else body
        handled = app.SERVICE_HANDLERS[service](request.method, place.path, headers, body, query)
        status, answered, content = asyncio.run(handled)
        response = AWSResponse(request.url, status, HeadersDict(answered), None)
        response._content = content if isinstance(content, bytes) else content.encode()
        return response

    def make(service: str) -> Any:
        session: Any = boto3.Session(account, "embedded", region_name="us-east-1")
        made = session.client(service, endpoint_url="http://localhost:1")
        made.meta.events.register("before-send", answer)
        return made

    return make
