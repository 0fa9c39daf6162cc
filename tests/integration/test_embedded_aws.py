"""The real CDK CLI on the embedded AWS, with a team of three stacks (fixtures/team): deploy, look, change, restart,
destroy. And the emulator's own life: it keeps its state, and it does not outlive its parent."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paceline.local.aws.server import EmbeddedAws
from paceline.local.cdk import Cdk
from paceline.spec.errors import DeployError

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
ACCOUNT, REGION = "123456789012", "us-east-1"
MEMORY_MIB = 120
STACKS = ["sandbox-Foundation", "sandbox-Registry", "sandbox-Storage"]


@dataclass
class Team:
    """The fixture app, deployed."""

    repository: Path
    run: Path
    aws: EmbeddedAws

    @property
    def cdk(self) -> Cdk:
        return Cdk(self.repository, environment=self.aws.environment(), log=self.run / "cdk.log")

    def shape(self, shape: str) -> None:
        """Change what the app synthesizes; see its docstring."""
        settings = json.loads((self.repository / "cdk.json").read_text(encoding="utf-8"))
        settings["context"]["shape"] = shape
        (self.repository / "cdk.json").write_text(json.dumps(settings), encoding="utf-8")

    def deploy(self) -> dict[str, str]:
        results = self.cdk.deploy("sandbox/*", outputs=self.run / "outputs.json")
        return {result.stack: result.state for result in results}

    def output(self, stack: str, name: str) -> str:
        outputs = json.loads((self.run / "outputs.json").read_text(encoding="utf-8"))
        return str(outputs[stack][name])


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    directory = tmp_path_factory.mktemp("team")
    repository = directory / "repository"
    shutil.copytree(ROOT / "tests" / "integration" / "fixtures" / "team", repository)
    (repository / "node_modules").symlink_to(ROOT / "node_modules")
    with EmbeddedAws(directory / "run", account=ACCOUNT, region=REGION) as aws:
        team = Team(repository, directory / "run", aws)
        team.cdk.bootstrap(account=ACCOUNT, region=REGION)
        assert team.deploy() == dict.fromkeys(STACKS, "deployed")
        yield team


def test_the_network_is_there(team: Team) -> None:
    ec2 = team.aws.client("ec2")
    name = "/paceline/sandbox/foundation/vpc-id"
    vpc = team.aws.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    mine = [{"Name": "vpc-id", "Values": [vpc]}]
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["CidrBlock"] == "10.0.0.0/16"
    assert len(ec2.describe_subnets(Filters=mine)["Subnets"]) == 4
    assert [gateway["State"] for gateway in ec2.describe_nat_gateways(Filters=mine)["NatGateways"]] == ["available"]
    assert ec2.describe_flow_logs()["FlowLogs"][0]["ResourceId"] == vpc
    assert ec2.describe_vpc_endpoints(Filters=mine)["VpcEndpoints"][0]["ServiceName"].endswith(".ssm")


def test_efa_traffic_is_allowed_within_its_group_both_ways(team: Team) -> None:
    ec2 = team.aws.client("ec2")
    (group,) = [g for g in ec2.describe_security_groups()["SecurityGroups"] if g["Description"] == "EFA"]
    for key in ("IpPermissions", "IpPermissionsEgress"):
        rules = [(r["IpProtocol"], [p["GroupId"] for p in r["UserIdGroupPairs"]]) for r in group[key]]
        assert ("-1", [group["GroupId"]]) in rules
    condition = [{"Name": "group-id", "Values": [group["GroupId"]]}]
    shown = ec2.describe_security_group_rules(Filters=condition)["SecurityGroupRules"]
    assert {rule["IsEgress"] for rule in shown if rule.get("ReferencedGroupInfo")} == {True, False}


def test_capacity_is_there(team: Team) -> None:
    ec2 = team.aws.client("ec2")
    (group,) = ec2.describe_placement_groups()["PlacementGroups"]
    assert (group["GroupName"], group["Strategy"]) == (team.output("sandbox-Foundation", "GroupName"), "cluster")
    (reservation,) = ec2.describe_capacity_reservations()["CapacityReservations"]
    assert (reservation["InstanceType"], reservation["TotalInstanceCount"]) == ("p5.48xlarge", 2)


def test_storage_is_there(team: Team) -> None:
    fsx, s3 = team.aws.client("fsx"), team.aws.client("s3")
    bucket = team.output("sandbox-Storage", "Bucket")
    (system,) = fsx.describe_file_systems()["FileSystems"]
    lustre = system["LustreConfiguration"]
    assert (system["StorageCapacity"], system["Lifecycle"], lustre["EfaEnabled"]) == (4800, "AVAILABLE", True)
    assert lustre["MountName"] == team.output("sandbox-Storage", "Mount")
    (association,) = fsx.describe_data_repository_associations()["Associations"]
    assert association["FileSystemId"] == system["FileSystemId"]
    assert association["DataRepositoryPath"] == f"s3://{bucket}/data/"
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert "aws:SecureTransport" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.put_object(Bucket=bucket, Key="data/shard-0", Body=b"tokens")
    assert s3.get_object(Bucket=bucket, Key="data/shard-0")["Body"].read() == b"tokens"
    assert s3.get_object(Bucket=bucket, Key="data/shard-0", Range="bytes=1-3")["Body"].read() == b"oke"


def test_the_registry_is_there(team: Team) -> None:
    (repository,) = team.aws.client("ecr").describe_repositories(repositoryNames=["sandbox/gpu"])["repositories"]
    assert repository["repositoryUri"] == team.output("sandbox-Registry", "Uri")


def test_it_listens_on_loopback_only_and_stays_small(team: Team) -> None:
    process = team.aws.process_id
    port = f"{team.aws.port:04X}"
    tables = [Path(f"/proc/{process}/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    listening = 0x0A
    assert [r[1] for r in rows if r[1].endswith(port) and int(r[3], 16) == listening] == [f"0100007F:{port}"]
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    peak_kib = int(status.split("VmHWM:")[1].split()[0])
    assert peak_kib / 1024 < MEMORY_MIB


def test_stopped_and_started_again_it_is_as_it_was(team: Team) -> None:
    def state() -> dict[str, Any]:
        ec2, s3 = team.aws.client("ec2"), team.aws.client("s3")
        stacks = team.aws.client("cloudformation").describe_stacks()["Stacks"]
        bucket = team.output("sandbox-Storage", "Bucket")
        return {
            "stacks": {stack["StackName"]: stack["StackStatus"] for stack in stacks},
            "groups": ec2.describe_security_groups()["SecurityGroups"],
            "placement": ec2.describe_placement_groups()["PlacementGroups"],
            "file_systems": team.aws.client("fsx").describe_file_systems()["FileSystems"],
            "objects": [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", [])],
            "parameters": team.aws.client("ssm").get_parameters_by_path(Path="/paceline", Recursive=True)["Parameters"],
        }

    before = state()
    team.aws.stop()
    team.aws.start()
    assert state() == before
    assert team.deploy() == dict.fromkeys(STACKS, "unchanged")


def test_a_changed_strategy_replaces_the_placement_group(team: Team) -> None:
    before = team.output("sandbox-Foundation", "GroupName")
    team.shape("strategy")
    assert "replace" in team.cdk.diff("sandbox/Foundation")
    assert team.deploy()["sandbox-Foundation"] == "deployed"
    (group,) = team.aws.client("ec2").describe_placement_groups()["PlacementGroups"]
    assert group["Strategy"] == "spread"
    assert before != group["GroupName"] == team.output("sandbox-Foundation", "GroupName")


def test_a_wrong_property_is_refused_and_rolled_back(team: Team) -> None:
    (before,) = team.aws.client("fsx").describe_file_systems()["FileSystems"]
    team.shape("broken")
    with pytest.raises(DeployError, match=r"extraneous key \[Turbo\] is not"):
        team.deploy()
    assert team.aws.client("fsx").describe_file_systems()["FileSystems"] == [before]
    team.shape("refused")
    with pytest.raises(DeployError, match=r"sandbox.yaml:3: acount: unknown field\nhint: did you mean `account`"):
        team.deploy()
    team.shape("")


def test_destroyed_it_is_gone(team: Team) -> None:
    s3, bucket = team.aws.client("s3"), team.output("sandbox-Storage", "Bucket")
    for version in s3.list_object_versions(Bucket=bucket).get("Versions", []):
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    assert sorted(result.stack for result in team.cdk.destroy("sandbox/*")) == STACKS
    assert team.aws.client("fsx").describe_file_systems()["FileSystems"] == []
    assert team.aws.client("ec2").describe_placement_groups()["PlacementGroups"] == []
    assert bucket not in [found["Name"] for found in s3.list_buckets()["Buckets"]]


def test_it_does_not_outlive_its_parent_and_keeps_its_state(tmp_path: Path) -> None:
    source = (
        "import sys, time; from pathlib import Path; from paceline.local.aws.server import EmbeddedAws\n"
        f"aws = EmbeddedAws(Path(sys.argv[1]), account='{ACCOUNT}', region='{REGION}'); aws.start()\n"
        "aws.client('s3').create_bucket(Bucket='kept'); print(aws.process_id, aws.port, flush=True); time.sleep(600)\n"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", source, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, encoding="ascii") as parent:
        assert parent.stdout is not None
        _process, port = (int(word) for word in parent.stdout.readline().split())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while _listens(port):
        assert time.monotonic() < deadline, "the emulator still listens"
        time.sleep(0.1)
    aws = EmbeddedAws(tmp_path, account=ACCOUNT, region=REGION)
    while not _unlocked(aws.directory / "lock"):
        assert time.monotonic() < deadline, "the emulator did not end"
        time.sleep(0.1)
    with aws:
        assert [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]] == ["kept"]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _unlocked(lock: Path) -> bool:
    import fcntl

    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
