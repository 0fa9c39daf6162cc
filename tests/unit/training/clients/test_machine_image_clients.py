"""What the clients of SSM and EC2 ask for, and what they make of the answers."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from paceline.clients import ec2, ssm
from paceline.spec.errors import ClusterError

KEYS: dict[str, Any] = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}


def test_parameters_are_asked_for_ten_at_a_time_and_those_that_are_missing_are_left_out() -> None:
    client = boto3.client("ssm", **KEYS)
    names = [f"/aws/service/{number}" for number in range(12)]
    with Stubber(client) as answers:
        known = [{"Name": name, "Value": name[-1]} for name in names[:9]]
        answers.add_response("get_parameters", {"Parameters": known}, {"Names": names[:10]})
        last = [{"Name": names[11], "Value": "last"}]
        answers.add_response("get_parameters", {"Parameters": last}, {"Names": names[10:]})

        assert ssm.parameters(client, names) == {name: name[-1] for name in names[:9]} | {names[11]: "last"}
        answers.assert_no_pending_responses()


def test_images_are_described_by_their_ids() -> None:
    client = boto3.client("ec2", **KEYS)
    image = {"ImageId": "ami-0123456789abcdef0", "Name": "an image"}
    with Stubber(client) as answers:
        answers.add_response("describe_images", {"Images": [image]}, {"ImageIds": [image["ImageId"]]})
        assert ec2.images(client, [image["ImageId"]]) == {image["ImageId"]: image}


def test_an_image_that_is_gone_is_told() -> None:
    client = boto3.client("ec2", **KEYS)
    with Stubber(client) as answers:
        answers.add_client_error("describe_images", "InvalidAMIID.NotFound", "does not exist")
        with pytest.raises(ClusterError, match="does not exist"):
            ec2.images(client, ["ami-0123456789abcdef0"])


def test_switches_are_those_of_the_instances_that_ec2_tells_of() -> None:
    client = boto3.client("ec2", **KEYS)
    told = [{"InstanceId": "i-1", "NetworkNodes": ["nn-1", "nn-2", "nn-3"]}]
    with Stubber(client) as answers:
        answers.add_response("describe_instance_topology", {"Instances": told}, {"InstanceIds": ["i-1", "i-2"]})
        assert ec2.switches(client, ["i-1", "i-2"]) == {"i-1": ("nn-1", "nn-2", "nn-3")}
