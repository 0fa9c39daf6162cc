"""The function that puts lifecycle scripts into their bucket always answers CloudFormation."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

import paceline_constructs

SOURCE = Path(paceline_constructs.__file__).parent / "hyperpod" / "publisher" / "index.py"
EVENT = {
    "StackId": "stack",
    "RequestId": "request",
    "LogicalResourceId": "Scripts",
    "ResponseURL": "http://localhost/answer",
    "ResourceProperties": {"Bucket": "sagemaker-x", "Prefix": "abc", "Files": {"on_create.sh": "#!/bin/bash\n"}},
}


class Bucket:
    """S3 as the function uses it."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        if self.broken:
            raise OSError("no bucket")
        self.objects[Key] = Body

    def list_object_versions(self, *, Bucket: str, Prefix: str) -> dict[str, Any]:  # noqa: N803
        return {"Versions": [{"Key": key, "VersionId": "1"} for key in self.objects if key.startswith(Prefix)]}

    def delete_object(self, *, Bucket: str, Key: str, VersionId: str) -> None:  # noqa: N803
        del self.objects[Key]


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function's module, with an `answers` list of what it sent."""
    spec = importlib.util.spec_from_file_location("publisher", SOURCE)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.answers = []
    monkeypatch.setattr(
        module.urllib.request, "urlopen", lambda request, timeout: module.answers.append(json.loads(request.data))
    )
    return module


def call(publisher: Any, bucket: Bucket, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher.boto3, "client", lambda service: bucket)
    publisher.handler(EVENT | {"RequestType": kind}, None)


def test_scripts_come_and_go(publisher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket()
    call(publisher, bucket, "Create", monkeypatch)
    assert bucket.objects == {"abc/on_create.sh": b"#!/bin/bash\n"}
    call(publisher, bucket, "Delete", monkeypatch)
    assert bucket.objects == {}
    assert [answer["Status"] for answer in publisher.answers] == ["SUCCESS", "SUCCESS"]
    assert {answer["PhysicalResourceId"] for answer in publisher.answers} == {"abc"}


def test_a_failure_is_told(publisher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="no bucket"):
        call(publisher, Bucket(broken=True), "Create", monkeypatch)
    [answer] = publisher.answers
    assert (answer["Status"], answer["Reason"]) == ("FAILED", "see the log of the function")


def test_it_fits_into_a_template() -> None:
    assert len(SOURCE.read_text(encoding="ascii")) <= 4096  # CloudFormation's limit of inline code
