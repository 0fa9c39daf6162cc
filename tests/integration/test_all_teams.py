"""Every shipped team on the embedded AWS, by the real CDK CLI: deployed, stopped and started, read, changed, destroyed.

The teams are those of stacks/parameters, made disposable so that they can be destroyed. fixtures/views.yaml says how
the SDKs list the resources of each type; whatever a stack has made must be found there, and nothing else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
import yaml

from paceline.catalog.instance_types import instance_types
from paceline.local.aws.server import EmbeddedAws
from stacks.settings.capacity import CapacityBlock
from tests.all_teams import ACCOUNT, LISTED, SHIPPED, VIEWS, Platform, copy_of_the_app, timed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]  # the CDK CLI synthesizes all teams at each call


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """All teams, deployed to an embedded AWS that was stopped and started since."""
    directory = tmp_path_factory.mktemp("teams")
    repository = directory / "repository"
    copy_of_the_app(repository)
    with EmbeddedAws(directory, account=ACCOUNT, region="us-east-1") as aws:
        made = Platform(repository=repository, aws=aws)
        for region in made.regions:
            with timed(f"bootstrap {region}"):
                made.cdk.bootstrap(account=ACCOUNT, region=region)
        made.empty = {name: made.listed(name) for name in LISTED}
        with timed("deploy"):
            made.deployed = made.cdk.deploy("**", outputs=directory / "outputs.json")
        before = {name: made.listed(name) for name in LISTED}
        with timed("restart"):
            aws.stop()
            aws.start()
        assert {name: made.listed(name) for name in LISTED} == before
        made.first = made.made()
        yield made


def test_every_stack_was_deployed(platform: Platform) -> None:
    assert {result.state for result in platform.deployed} == {"deployed"}
    assert {
        result.stack.rsplit("-Foundation", 1)[0] for result in platform.deployed if "Foundation" in result.stack
    } == {path.stem for path in SHIPPED}


def test_nothing_is_left_to_deploy_after_a_restart(platform: Platform) -> None:
    with timed("diff"):
        said = platform.cdk.diff("**")
    assert said.count("There were no differences") == len(platform.deployed)
    assert "Number of stacks with differences: 0" in said


def test_every_type_that_a_team_uses_is_looked_at(platform: Platform) -> None:
    assert platform.first.keys() == VIEWS.keys()


@pytest.mark.parametrize("type_name", LISTED)
def test_what_a_stack_made_is_what_the_sdk_lists(platform: Platform, type_name: str) -> None:
    view, listed, made = VIEWS[type_name], platform.listed(type_name), platform.first[type_name]
    assert any(made.values())
    for region in platform.regions:
        expected = set().union(*made.values()) if view.get("scope") == "global" else made[region]
        found = listed[region] - platform.empty[type_name][region]
        assert expected - found == set()
        assert found == expected or "more" in view


def test_the_network_of_nodes_and_of_pods(platform: Platform) -> None:
    ec2, network, eks = platform.client("ec2", "vision"), platform.teams["vision"].network, platform.teams["vision"].eks
    assert eks is not None and eks.pods is not None
    vpc = platform.one("vision", "AWS::EC2::VPC")
    mine = [{"Name": "vpc-id", "Values": [vpc]}]
    (shown,) = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"]
    blocks = {block["CidrBlock"] for block in shown["CidrBlockAssociationSet"]}
    assert blocks == {str(network.cidr), str(eks.pods.cidr)}
    subnets = {(s["AvailabilityZoneId"], s["CidrBlock"]): s for s in ec2.describe_subnets(Filters=mine)["Subnets"]}
    given = [*network.subnets.items(), *eks.pods.subnets.items()]
    assert subnets.keys() == {(zone, str(block)) for zone, block in given}
    assert {subnet["AvailableIpAddressCount"] for subnet in subnets.values()} == {2**14 - 5}
    endpoints = {e["ServiceName"]: e for e in ec2.describe_vpc_endpoints(Filters=mine)["VpcEndpoints"]}
    services = {f"com.amazonaws.us-east-1.{name}" for name in (*network.interface_endpoints, "s3")}
    assert endpoints.keys() == services
    assert endpoints["com.amazonaws.us-east-1.eks"]["PrivateDnsEnabled"] is True
    (group,) = endpoints["com.amazonaws.us-east-1.eks"]["Groups"]
    (shown,) = ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"]
    assert (shown["VpcId"], shown["GroupName"]) == (vpc, group["GroupName"])
    (log,) = ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [vpc]}])["FlowLogs"]
    names = [g["logGroupName"] for g in platform.client("logs", "vision").describe_log_groups()["logGroups"]]
    assert log["LogGroupName"] in names


def test_the_capacity_that_a_team_reserves(platform: Platform) -> None:
    ec2, pool = platform.client("ec2", "vision"), platform.teams["vision"].capacity["pool"]
    mine = [{"Name": "tag:paceline:team", "Values": ["vision"]}]
    (reservation,) = ec2.describe_capacity_reservations(Filters=mine)["CapacityReservations"]
    assert reservation["InstanceType"] == pool.instance_type
    assert reservation["TotalInstanceCount"] == pool.nodes
    assert (reservation["AvailabilityZoneId"], reservation["AvailabilityZone"]) == (pool.zone, "us-east-1b")
    groups = {group["GroupArn"]: group for group in ec2.describe_placement_groups()["PlacementGroups"]}
    assert groups[reservation["PlacementGroupArn"]]["Strategy"] == "cluster"
    none = [{"Name": "instance-type", "Values": ["p4d.*"]}]
    assert ec2.describe_capacity_reservations(Filters=none)["CapacityReservations"] == []


def test_the_network_cards_of_a_node(platform: Platform) -> None:
    ec2, eks = platform.client("ec2", "vision"), platform.client("eks", "vision")
    block = platform.teams["vision"].capacity["block"]
    (name,) = (n for n in eks.list_nodegroups(clusterName="paceline-vision")["nodegroups"] if "Capacity-block" in n)
    group = eks.describe_nodegroup(clusterName="paceline-vision", nodegroupName=name)["nodegroup"]
    template = group["launchTemplate"]
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=template["id"], Versions=[template["version"]])[
        "LaunchTemplateVersions"
    ]
    data = version["LaunchTemplateData"]
    cards = [(c["NetworkCardIndex"], c["DeviceIndex"], c["InterfaceType"]) for c in data["NetworkInterfaces"]]
    efa = [card for card in cards if card[2].startswith("efa")]
    assert (len(efa), cards[0][2]) == (instance_types()[block.instance_type].max_efa_interfaces, "interface")
    target = data["CapacityReservationSpecification"]["CapacityReservationTarget"]
    assert isinstance(block.purchase, CapacityBlock)
    assert target["CapacityReservationId"] == block.purchase.reservation
    assert data["InstanceType"] == block.instance_type
    assert "instanceTypes" not in group


def test_the_kubernetes_cluster(platform: Platform) -> None:
    eks, given = platform.client("eks", "vision"), platform.teams["vision"].eks
    assert given is not None and given.repair is not None
    cluster = eks.describe_cluster(name="paceline-vision")["cluster"]
    assert (cluster["version"], cluster["status"]) == (given.version, "ACTIVE")
    assert cluster["resourcesVpcConfig"]["endpointPublicAccess"] is False
    cni = eks.describe_addon(clusterName="paceline-vision", addonName="vpc-cni")["addon"]
    assert json.loads(cni["configurationValues"])["env"]["ENABLE_PREFIX_DELEGATION"] == "true"
    (name,) = (n for n in eks.list_nodegroups(clusterName="paceline-vision")["nodegroups"] if "Capacity-block" in n)
    group = eks.describe_nodegroup(clusterName="paceline-vision", nodegroupName=name)["nodegroup"]
    repair = group["nodeRepairConfig"]
    assert repair["maxParallelNodesRepairedCount"] == given.repair.max_parallel
    assert [(o["nodeUnhealthyReason"], o["repairAction"]) for o in repair["nodeRepairConfigOverrides"]] == [
        (override.reason, override.action) for override in given.repair.overrides
    ]
    for arn, access in given.access.items():
        shown = eks.list_associated_access_policies(clusterName="paceline-vision", principalArn=arn)
        (policy,) = shown["associatedAccessPolicies"]
        assert policy["policyArn"].endswith(access.policy)
        assert policy["accessScope"]["namespaces"] == list(access.namespaces)


def test_the_file_systems_and_their_repositories(platform: Platform) -> None:
    for name, parameters in platform.teams.items():
        given, fsx = parameters.storage.file_system, platform.client("fsx", name)
        (association,) = (
            found
            for found in fsx.describe_data_repository_associations()["Associations"]
            if {"Key": "paceline:team", "Value": name} in found["Tags"]
        )
        (system,) = fsx.describe_file_systems(FileSystemIds=[association["FileSystemId"]])["FileSystems"]
        assert system["StorageCapacity"] == given.size_gib
        lustre = system["LustreConfiguration"]
        assert lustre["PerUnitStorageThroughput"] == given.mbps_per_tib
        assert lustre["EfaEnabled"] is given.efa
        bucket = association["DataRepositoryPath"].removeprefix("s3://").partition("/")[0]
        assert bucket in platform.listed("AWS::S3::Bucket")["us-east-1"]
    slurm = platform.teams["speech"].slurm
    assert slurm is not None
    systems = platform.client("fsx", "speech").describe_file_systems()["FileSystems"]
    (zfs,) = (system for system in systems if system["FileSystemType"] == "OPENZFS")
    assert zfs["StorageCapacity"] == slurm.homes.size_gib
    assert zfs["OpenZFSConfiguration"]["ThroughputCapacity"] == slurm.homes.mbps
    assert zfs["OpenZFSConfiguration"]["RootVolumeId"].startswith("fsvol-")


def test_the_slurm_cluster(platform: Platform) -> None:
    pcs, given = platform.client("pcs", "speech"), platform.teams["speech"]
    assert given.slurm is not None
    cluster = pcs.get_cluster(clusterIdentifier=platform.one("speech", "AWS::PCS::Cluster"))["cluster"]
    assert cluster["scheduler"] == {"type": "SLURM", "version": given.slurm.version}
    templates = platform.listed("AWS::EC2::LaunchTemplate")["us-east-2"]
    listed = pcs.list_compute_node_groups(clusterIdentifier=cluster["id"])["computeNodeGroups"]
    groups = {group["name"].rpartition("-")[0]: group["id"] for group in listed}
    assert groups.keys() == {*given.capacity, "login"}
    for name, source in given.capacity.items():
        asked = {"clusterIdentifier": cluster["id"], "computeNodeGroupIdentifier": groups[name]}
        group = pcs.get_compute_node_group(**asked)["computeNodeGroup"]
        assert group["instanceConfigs"] == [{"instanceType": source.instance_type}]
        assert group["scalingConfiguration"]["maxInstanceCount"] == source.nodes
        assert group["customLaunchTemplate"]["id"] in templates
        queue = pcs.get_queue(clusterIdentifier=cluster["id"], queueIdentifier=name)["queue"]
        assert queue["computeNodeGroupConfigurations"] == [{"computeNodeGroupId": group["id"]}]


@pytest.mark.parametrize("name", ["hyperpod-eks", "hyperpod-slurm"])
def test_the_nodes_of_a_hyperpod_cluster(platform: Platform, name: str) -> None:
    sagemaker, given = platform.client("sagemaker", name), platform.teams[name]
    assert given.hyperpod is not None
    arn = platform.one(name, "AWS::SageMaker::Cluster")
    cluster = sagemaker.describe_cluster(ClusterName=arn)
    assert cluster["NodeRecovery"] == "Automatic"
    wanted = {source: (f"ml.{s.instance_type}", s.nodes) for source, s in given.capacity.items()}
    wanted |= {group: (f"ml.{g.instance_type}", g.nodes) for group, g in given.hyperpod.groups.items()}
    groups = {g["InstanceGroupName"]: (g["InstanceType"], g["CurrentCount"]) for g in cluster["InstanceGroups"]}
    assert groups == wanted
    nodes = sagemaker.list_cluster_nodes(ClusterName=arn)["ClusterNodeSummaries"]
    assert len({node["InstanceId"] for node in nodes}) == sum(count for _, count in wanted.values())
    location = cluster["InstanceGroups"][0]["LifeCycleConfig"]
    bucket, _, prefix = location["SourceS3Uri"].removeprefix("s3://").partition("/")
    script = platform.client("s3", name).get_object(Bucket=bucket, Key=f"{prefix}/{location['OnCreate']}")
    assert script["Body"].read().startswith(b"#!")


def test_the_shares_of_a_hyperpod_cluster(platform: Platform) -> None:
    sagemaker, given = platform.client("sagemaker", "hyperpod-eks"), platform.teams["hyperpod-eks"].hyperpod
    assert given is not None and given.governance is not None
    arn = platform.one("hyperpod-eks", "AWS::SageMaker::Cluster")
    quotas = sagemaker.list_compute_quotas(ClusterArn=arn)["ComputeQuotaSummaries"]
    weights = {q["ComputeQuotaTarget"]["TeamName"]: q["ComputeQuotaTarget"]["FairShareWeight"] for q in quotas}
    assert weights == {name: quota.weight for name, quota in given.governance.quotas.items()}
    assert sagemaker.list_compute_quotas(ClusterArn=arn[:-1])["ComputeQuotaSummaries"] == []


def test_metrics_alerts_and_dashboards(platform: Platform) -> None:
    amp, grafana = platform.client("amp", "vision"), platform.client("grafana", "vision")
    given = platform.teams["vision"].observability
    assert given is not None
    (workspace,) = amp.list_workspaces()["workspaces"]
    asked = {"workspaceId": workspace["workspaceId"]}
    kept = amp.describe_workspace_configuration(**asked)["workspaceConfiguration"]
    assert (kept["status"]["statusCode"], kept["retentionPeriodInDays"]) == ("ACTIVE", given.metric_days)
    topics = platform.listed("AWS::SNS::Topic")["us-east-1"]
    routes = yaml.safe_load(amp.describe_alert_manager_definition(**asked)["alertManagerDefinition"]["data"])
    receivers = yaml.safe_load(routes["alertmanager_config"])["receivers"]
    assert {sns["topic_arn"] for receiver in receivers for sns in receiver["sns_configs"]} <= topics
    (board,) = grafana.list_workspaces()["workspaces"]
    signs_in = grafana.describe_workspace_authentication(workspaceId=board["id"])["authentication"]
    assert signs_in["providers"] == ["AWS_SSO"]


def test_buckets_and_the_logged_shell(platform: Platform) -> None:
    s3, ssm = platform.client("s3", "vision"), platform.client("ssm", "vision")
    name = ssm.get_parameter(Name="/paceline/vision/storage/data-bucket")["Parameter"]["Value"]
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": platform.teams["vision"].storage.noncurrent_days}
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    key = platform.one("vision", "AWS::KMS::Key")
    (default,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert default["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"].endswith(key)
    document = json.loads(ssm.get_document(Name="paceline-vision-session")["Content"])
    assert document["inputs"]["cloudWatchLogGroupName"] in platform.listed("AWS::Logs::LogGroup")["us-east-1"]
    assert platform.client("kms", "vision").get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True


def test_a_live_change_and_a_replacement_are_what_was_foretold(platform: Platform) -> None:
    file, before = platform.file("vision"), platform.repository.parent / "before.yaml"
    shutil.copy(file, before)
    given = yaml.safe_load(before.read_text(encoding="utf-8"))
    given["storage"]["file_system"]["size_gib"] *= 2
    given["capacity"]["pool"]["zone"] = "use1-az1"
    file.write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
    with timed("team diff"):
        foretold = platform.paceline("team", "diff", "vision", "--against", str(before), "-o", "json")
    assert {change["path"]: change["update"] for change in foretold["changes"]} == {
        "storage.file_system.size_gib": "live",
        "capacity.pool.zone": "replace",
    }
    old = platform.resources("vision")
    with timed("deploy the change"):
        results = platform.cdk.deploy("vision/*", outputs=platform.repository.parent / "outputs.json")
    changed = {result.stack for result in results if result.state == "deployed"}
    record = "vision-Record"  # it always follows: it says what was deployed
    assert changed == {f"vision-{stack['stack']}" for stack in foretold["stacks"]} | {record}
    new = platform.resources("vision")
    assert old.keys() == new.keys()
    replaced = {old[key]: new[key] for key in old if old[key] != new[key]}
    system = platform.one("vision", "AWS::FSx::FileSystem")
    (shown,) = platform.client("fsx", "vision").describe_file_systems(FileSystemIds=[system])["FileSystems"]
    assert shown["StorageCapacity"] == given["storage"]["file_system"]["size_gib"]
    reservation = platform.one("vision", "AWS::EC2::CapacityReservation")
    (shown,) = platform.client("ec2", "vision").describe_capacity_reservations()["CapacityReservations"]
    assert (shown["CapacityReservationId"], shown["AvailabilityZoneId"]) == (reservation, "use1-az1")
    made = platform.made()
    nodes = made["AWS::EKS::Nodegroup"]["us-east-1"] & set(replaced.values())
    assert set(replaced.values()) == {reservation, *nodes}
    assert len(nodes) == 1
    for type_name in ("AWS::EC2::CapacityReservation", "AWS::EKS::Nodegroup"):
        assert platform.listed(type_name) == made[type_name]


def test_destroyed_nothing_is_left(platform: Platform) -> None:
    keys = platform.first["AWS::KMS::Key"]
    with timed("destroy"):
        results = platform.cdk.destroy("**")
    assert sorted(result.stack for result in results) == sorted(result.stack for result in platform.deployed)
    for region in platform.regions:
        cloudformation = platform.in_region("cloudformation", region)
        assert [stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]] == ["CDKToolkit"]
        kms = platform.in_region("kms", region)  # AWS keeps a key for a while, and so does this
        assert {kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] for key in keys[region]} == {"PendingDeletion"}
    left = {name: platform.listed(name) for name in LISTED}
    assert left == platform.empty
