"""What the SDK reads of the services that are only remembered, after a stack was made."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from paceline.local.aws.views.remembered import FILE, services

Client = Callable[[str], Any]


def test_prometheus(provision: Any, client: Client) -> None:
    logs = "arn:aws:logs:us-east-1:1:log-group:amp:*"
    given = {
        "Alias": "vision",
        "AlertManagerDefinition": "receivers: []",
        "LoggingConfiguration": {"LogGroupArn": logs},
        "WorkspaceConfiguration": {"RetentionPeriodInDays": 150},
    }
    arn, attributes = provision("AWS::APS::Workspace", {**given, "Tags": [{"Key": "team", "Value": "vision"}]})
    rules = {"Workspace": arn, "Name": "training", "Data": "groups: []"}
    provision("AWS::APS::RuleGroupsNamespace", rules)
    amp, identifier = client("amp"), attributes["WorkspaceId"]
    (listed,) = amp.list_workspaces()["workspaces"]
    shown = amp.describe_workspace(workspaceId=identifier)["workspace"]
    assert (listed["workspaceId"], listed["arn"]) == (identifier, arn)
    assert (shown["alias"], shown["status"], shown["tags"]) == ("vision", {"statusCode": "ACTIVE"}, {"team": "vision"})
    assert shown["prometheusEndpoint"].endswith(f"/workspaces/{identifier}/")
    alerts = amp.describe_alert_manager_definition(workspaceId=identifier)["alertManagerDefinition"]
    assert alerts["data"] == b"receivers: []"
    logging = amp.describe_logging_configuration(workspaceId=identifier)["loggingConfiguration"]
    assert logging["logGroupArn"] == logs
    kept = amp.describe_workspace_configuration(workspaceId=identifier)["workspaceConfiguration"]
    assert (kept["status"], kept["retentionPeriodInDays"]) == ({"statusCode": "ACTIVE"}, 150)
    (namespace,) = amp.list_rule_groups_namespaces(workspaceId=identifier)["ruleGroupsNamespaces"]
    assert namespace["name"] == "training"
    one = amp.describe_rule_groups_namespace(workspaceId=identifier, name="training")["ruleGroupsNamespace"]
    assert one["data"] == b"groups: []"


def test_a_scraper(provision: Any, client: Client) -> None:
    cluster = {"ClusterArn": "arn:aws:eks:us-east-1:1:cluster/vision", "SubnetIds": ["subnet-1"]}
    _, attributes = provision(
        "AWS::APS::Scraper",
        {
            "ScrapeConfiguration": {"ConfigurationBlob": "Zw=="},
            "Source": {"EksConfiguration": cluster},
            "Destination": {"AmpConfiguration": {"WorkspaceArn": "arn:ws"}},
        },
    )
    shown = client("amp").describe_scraper(scraperId=attributes["ScraperId"])["scraper"]
    assert shown["source"]["eksConfiguration"]["clusterArn"] == cluster["ClusterArn"]
    assert shown["destination"] == {"ampConfiguration": {"workspaceArn": "arn:ws"}}


def test_grafana(provision: Any, client: Client) -> None:
    given = {
        "Name": "vision",
        "AccountAccessType": "CURRENT_ACCOUNT",
        "AuthenticationProviders": ["AWS_SSO"],
        "PermissionType": "SERVICE_MANAGED",
        "RoleArn": "arn:aws:iam::1:role/grafana",
    }
    identifier, attributes = provision("AWS::Grafana::Workspace", given)
    grafana = client("grafana")
    assert [item["name"] for item in grafana.list_workspaces()["workspaces"]] == ["vision"]
    shown = grafana.describe_workspace(workspaceId=identifier)["workspace"]
    assert (shown["endpoint"], shown["status"]) == (attributes["Endpoint"], "ACTIVE")
    assert (shown["authentication"]["providers"], shown["workspaceRoleArn"]) == (["AWS_SSO"], given["RoleArn"])
    signs_in = grafana.describe_workspace_authentication(workspaceId=identifier)["authentication"]
    assert signs_in["providers"] == ["AWS_SSO"]


def test_a_slurm_cluster_with_its_groups_and_queues(provision: Any, client: Client) -> None:
    cluster = {
        "Name": "speech",
        "Size": "SMALL",
        "Networking": {"SubnetIds": ["subnet-1"]},
        "Scheduler": {"Type": "SLURM", "Version": "25.05"},
        "SlurmConfiguration": {"SlurmCustomSettings": [{"ParameterName": "Prolog", "ParameterValue": "/opt/prolog"}]},
    }
    _, attributes = provision("AWS::PCS::Cluster", cluster)
    group = {
        "ClusterId": attributes["Id"],
        "Name": "trn2",
        "SubnetIds": ["subnet-1"],
        "IamInstanceProfileArn": "arn:aws:iam::1:instance-profile/aws-pcs/node",
        "InstanceConfigs": [{"InstanceType": "trn2.48xlarge"}],
        "ScalingConfiguration": {"MinInstanceCount": 0, "MaxInstanceCount": 4},
        "CustomLaunchTemplate": {"TemplateId": "lt-1", "Version": "1"},
        "PurchaseOption": "CAPACITY_BLOCK",
    }
    _, made = provision("AWS::PCS::ComputeNodeGroup", group)
    configurations = [{"ComputeNodeGroupId": made["Id"]}]
    queue = {"ClusterId": attributes["Id"], "Name": "training", "ComputeNodeGroupConfigurations": configurations}
    provision("AWS::PCS::Queue", queue)
    pcs = client("pcs")
    assert [found["name"] for found in pcs.list_clusters()["clusters"]] == ["speech"]
    shown = pcs.get_cluster(clusterIdentifier="speech")["cluster"]
    assert shown["scheduler"] == {"type": "SLURM", "version": "25.05"}
    assert shown["slurmConfiguration"]["slurmCustomSettings"] == [
        {"parameterName": "Prolog", "parameterValue": "/opt/prolog"}
    ]
    # by name and by id
    for name in ("speech", attributes["Id"]):
        (listed,) = pcs.list_compute_node_groups(clusterIdentifier=name)["computeNodeGroups"]
        assert (listed["name"], listed["status"]) == ("trn2", "ACTIVE")
    of = {"clusterIdentifier": "speech"}
    found = pcs.get_compute_node_group(**of, computeNodeGroupIdentifier="trn2")["computeNodeGroup"]
    assert (found["purchaseOption"], found["scalingConfiguration"]["maxInstanceCount"]) == ("CAPACITY_BLOCK", 4)
    assert found["customLaunchTemplate"] == {"id": "lt-1", "version": "1"}
    assert [item["name"] for item in pcs.list_queues(**of)["queues"]] == ["training"]
    answer = pcs.get_queue(**of, queueIdentifier="training")["queue"]
    assert answer["computeNodeGroupConfigurations"] == [{"computeNodeGroupId": made["Id"]}]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        pcs.list_queues(clusterIdentifier="other")


def test_a_hyperpod_cluster_with_its_nodes(provision: Any, client: Client) -> None:
    groups = [
        {"InstanceGroupName": "gpu", "InstanceType": "ml.p5.48xlarge", "InstanceCount": 2, "ExecutionRole": "arn:role"},
        {
            "InstanceGroupName": "login",
            "InstanceType": "ml.m5.large",
            "InstanceCount": "1",
            "ExecutionRole": "arn:role",
        },
    ]
    given = {"ClusterName": "pod", "InstanceGroups": groups, "NodeRecovery": "Automatic"}
    _, attributes = provision("AWS::SageMaker::Cluster", given)
    sagemaker = client("sagemaker")
    assert [item["ClusterName"] for item in sagemaker.list_clusters()["ClusterSummaries"]] == ["pod"]
    for name in ("pod", attributes["ClusterArn"]):
        shown = sagemaker.describe_cluster(ClusterName=name)
        assert (shown["ClusterStatus"], shown["NodeRecovery"]) == ("InService", "Automatic")
        assert [(group["CurrentCount"], group["TargetCount"]) for group in shown["InstanceGroups"]] == [(2, 2), (1, 1)]
    nodes = sagemaker.list_cluster_nodes(ClusterName="pod")["ClusterNodeSummaries"]
    assert [node["InstanceGroupName"] for node in nodes] == ["gpu", "gpu", "login"]
    assert len({node["InstanceId"] for node in nodes}) == 3
    assert nodes == sagemaker.list_cluster_nodes(ClusterName="pod")["ClusterNodeSummaries"]
    only = sagemaker.list_cluster_nodes(ClusterName="pod", InstanceGroupNameContains="gpu")["ClusterNodeSummaries"]
    assert only == nodes[:2]
    one = sagemaker.describe_cluster_node(ClusterName="pod", NodeId=nodes[0]["InstanceId"])["NodeDetails"]
    assert (one["InstanceType"], one["InstanceStatus"]) == ("ml.p5.48xlarge", {"Status": "Running"})
    for call in (sagemaker.describe_cluster, sagemaker.list_cluster_nodes):
        with pytest.raises(ClientError, match="ResourceNotFound"):
            call(ClusterName="none")
    with pytest.raises(ClientError, match="i-0 does not exist"):
        sagemaker.describe_cluster_node(ClusterName="pod", NodeId="i-0")


def test_task_governance(provision: Any, client: Client) -> None:
    cluster = "arn:aws:sagemaker:us-east-1:1:cluster/pod12345"
    weights = {"PriorityClasses": [{"Name": "training", "Weight": 90}], "FairShare": "Enabled"}
    _, config = provision(
        "AWS::SageMaker::ClusterSchedulerConfig", {"ClusterArn": cluster, "Name": "pod", "SchedulerConfig": weights}
    )
    shared = {"ResourceSharingConfig": {"Strategy": "LendAndBorrow"}}
    target = {"TeamName": "vision", "FairShareWeight": 10}
    given = {"ClusterArn": cluster, "Name": "vision", "ComputeQuotaConfig": shared, "ComputeQuotaTarget": target}
    _, quota = provision("AWS::SageMaker::ComputeQuota", given)
    sagemaker = client("sagemaker")
    found = sagemaker.describe_cluster_scheduler_config(ClusterSchedulerConfigId=config["ClusterSchedulerConfigId"])
    assert (found["SchedulerConfig"], found["Status"]) == (weights, "Created")
    assert len(sagemaker.list_cluster_scheduler_configs()["ClusterSchedulerConfigSummaries"]) == 1
    assert [item["Name"] for item in sagemaker.list_compute_quotas()["ComputeQuotaSummaries"]] == ["vision"]
    assert len(sagemaker.list_compute_quotas(ClusterArn=cluster, MaxResults=5)["ComputeQuotaSummaries"]) == 1
    assert sagemaker.list_compute_quotas(ClusterArn=f"{cluster}0")["ComputeQuotaSummaries"] == []
    with pytest.raises(ClientError, match="cannot list by NameContains"):
        sagemaker.list_compute_quotas(NameContains="vis")
    assert sagemaker.describe_compute_quota(ComputeQuotaId=quota["ComputeQuotaId"])["ComputeQuotaTarget"] == target


def test_a_document_beside_the_parameters_of_ministack(provision: Any, client: Client) -> None:
    content = {"schemaVersion": "1.0", "sessionType": "Standard_Stream"}
    name, _ = provision("AWS::SSM::Document", {"Name": "shell", "DocumentType": "Session", "Content": content})
    ssm = client("ssm")
    assert [found["Name"] for found in ssm.list_documents()["DocumentIdentifiers"]] == [name]
    assert ssm.describe_document(Name=name)["Document"]["Status"] == "Active"
    assert json.loads(ssm.get_document(Name=name)["Content"]) == content
    with pytest.raises(ClientError, match="InvalidDocument"):
        ssm.get_document(Name="none")
    ssm.put_parameter(Name="/paceline/a", Value="b", Type="String")
    assert ssm.get_parameter(Name="/paceline/a")["Parameter"]["Value"] == "b"


def test_what_is_not_there_is_refused_as_the_service_does(client: Client, provision: Any) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client("amp").describe_workspace(workspaceId="ws-404")
    _, attributes = provision("AWS::APS::Workspace", {"Alias": "bare"})
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client("amp").describe_alert_manager_definition(workspaceId=attributes["WorkspaceId"])
    with pytest.raises(ClientError, match="does not answer aps"):
        client("amp").list_anomaly_detectors(workspaceId="ws-1")


def test_the_file_speaks_of_types_that_exist() -> None:
    from paceline.local.aws.overlay import TYPES

    assert yaml.safe_load(FILE.read_text(encoding="utf-8")).keys() == services().keys()
    for name, given in services().items():
        assert given.fields.keys() <= TYPES, name
        for operation, reading in given.operations.items():
            assert reading.type in TYPES, operation
            assert (reading.list is None) != (reading.show is None), operation
