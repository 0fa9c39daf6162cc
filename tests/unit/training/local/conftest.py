"""The overlay inside this process: ministack's engine and tables without its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ministack.core import responses
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
