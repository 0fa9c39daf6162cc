"""What must be true of alarms, metrics, roles, budgets and deployment, however the templates look."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk.assertions import Match, Template
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

from paceline.spec.errors import ParameterError
from paceline_constructs.guardrails.compliance import enforce_compliance
from stacks.governance import GovernanceStack
from stacks.observability import ObservabilityStack
from stacks.settings import Parameters, Team
from stacks.team_stage import TeamStage
from stacks.teams import read_teams

SHIPPED = Path(__file__).parents[3] / "stacks" / "parameters"
SECTIONS = {
    "alerts": {"critical": ["oncall@example.com", "https://pager.example.com/hook"], "warning": ["team@example.com"]},
    "observability": {"grafana": {"kind": "managed", "people": {"kind": "identity-center", "enabled": True}}},
    "governance": {
        "researchers": {
            "trusted": ["arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_Research_*"]
        },
        "operators": {"trusted": ["arn:aws:iam::123456789012:role/Operations"], "session_hours": 4},
        "budget": {"monthly_usd": 50000},
    },
    "delivery": {"repository": "acme/platform", "branches": ["main"], "environments": ["production"], "preview": True},
    "permission_boundary": "training-boundary",
}


def team_with(sandbox: TeamStage, **sections: Any) -> Team:
    data = sandbox.foundation.team.parameters.model_dump(mode="json") | sections
    return Team(name="lab", parameters=Parameters.model_validate(data))


@pytest.fixture(scope="module")
def lab(sandbox: TeamStage, cdk_flags: dict[str, Any]) -> TeamStage:
    app = App(context=cdk_flags, builtin_cloud_formation_validation=False)
    return TeamStage(app, team=team_with(sandbox, **SECTIONS))


@pytest.fixture(scope="module")
def clustered(sandbox: TeamStage, cdk_flags: dict[str, Any]) -> TeamStage:
    """The same with stacks that know an EKS cluster."""
    app = App(context=cdk_flags, builtin_cloud_formation_validation=False)
    stage = TeamStage(app, team=team_with(sandbox, alerts=SECTIONS["alerts"]))
    for name, settings in (
        ("Scraped", {"collector": "scraper"}),
        ("Own", {"collector": "agent", "grafana": {"kind": "self-hosted"}}),
    ):
        team = team_with(sandbox, **SECTIONS | {"observability": settings})
        observability = ObservabilityStack(
            stage, name, team=team, foundation=stage.foundation, cluster_name="lab-cluster"
        )
    stage.governed = GovernanceStack(  # type: ignore[attr-defined]
        stage,
        "Governed",
        team=team,
        foundation=stage.foundation,
        storage=stage.storage,
        registry=stage.registry,
        observability=observability,
        cluster_name="lab-cluster",
    )
    return stage


def template_of(stage: TeamStage, name: str) -> Template:
    stack = stage.node.find_child(name)
    assert isinstance(stack, Stack)
    return Template.from_stack(stack)


def statements(template: Template, role: str) -> list[dict[str, Any]]:
    """What the policies of a role allow."""
    [policy] = [
        resource
        for resource in template.find_resources("AWS::IAM::Policy").values()
        if any(reference["Ref"].startswith(role) for reference in resource["Properties"]["Roles"])
    ]
    return list(policy["Properties"]["PolicyDocument"]["Statement"])


def actions(template: Template, role: str) -> set[str]:
    listed = [s["Action"] if isinstance(s["Action"], list) else [s["Action"]] for s in statements(template, role)]
    return {action for several in listed for action in several}


@pytest.mark.parametrize("name", ["Scraped", "Own", "Governed"])
def test_template_with_a_cluster_is_what_was_reviewed(
    clustered: TeamStage, name: str, snapshot: SnapshotAssertion
) -> None:
    assert template_of(clustered, name).to_json() == snapshot(extension_class=JSONSnapshotExtension)


def test_stacks_exist_only_with_their_section(sandbox: TeamStage, lab: TeamStage) -> None:
    for name in ("Observability", "Governance", "Delivery"):
        assert sandbox.node.try_find_child(name) is None
        assert lab.node.try_find_child(name) is not None


def test_the_rules_of_aws_solutions_find_nothing(sandbox: TeamStage, cdk_flags: dict[str, Any], tmp_path: Path) -> None:
    app = App(context=cdk_flags, builtin_cloud_formation_validation=False, outdir=str(tmp_path))
    enforce_compliance(app)
    TeamStage(app, team=team_with(sandbox, **SECTIONS))
    app.synth()


@pytest.mark.parametrize("name", ["Foundation", "Observability", "Governance", "Delivery"])
def test_the_permission_boundary_bounds_every_role(lab: TeamStage, name: str) -> None:
    template_of(lab, name).all_resources_properties(
        "AWS::IAM::Role", {"PermissionsBoundary": Match.string_like_regexp(":policy/training-boundary$")}
    )


def test_alarms_are_encrypted_and_travel_over_tls_only(lab: TeamStage) -> None:
    template = template_of(lab, "Foundation")
    template.resource_count_is("AWS::SNS::Topic", 2)
    template.all_resources_properties("AWS::SNS::Topic", {"KmsMasterKeyId": Match.any_value()})
    for policy in template.find_resources("AWS::SNS::TopicPolicy").values():
        deny, alarms, events = policy["Properties"]["PolicyDocument"]["Statement"]
        assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        assert alarms["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
        assert events["Principal"] == {"Service": "events.amazonaws.com"}


def test_every_endpoint_is_subscribed(lab: TeamStage) -> None:
    found = {
        (s["Properties"]["Protocol"], s["Properties"]["Endpoint"])
        for s in template_of(lab, "Foundation").find_resources("AWS::SNS::Subscription").values()
    }
    assert found == {
        ("email", "oncall@example.com"),
        ("https", "https://pager.example.com/hook"),
        ("email", "team@example.com"),
    }


def test_shells_are_logged_to_an_encrypted_group(lab: TeamStage) -> None:
    template = template_of(lab, "Foundation")
    template.has_resource_properties("AWS::Logs::LogGroup", {"LogGroupName": "/paceline/lab/sessions"})
    template.has_resource_properties(
        "AWS::SSM::Document",
        {
            "DocumentType": "Session",
            "Content": {
                "inputs": {
                    "cloudWatchEncryptionEnabled": True,
                    "cloudWatchLogGroupName": Match.any_value(),
                    "kmsKeyId": Match.any_value(),
                    "runAsEnabled": False,
                }
            },
        },
    )


def test_a_node_may_keep_the_record_and_nothing_more(
    sandbox: TeamStage, cdk_flags: dict[str, Any], tmp_path: Path
) -> None:
    app = App(context=cdk_flags, builtin_cloud_formation_validation=False, outdir=str(tmp_path))
    enforce_compliance(app)
    stage = TeamStage(app, team=team_with(sandbox))
    stack = Stack(stage, "Nodes")
    node = iam.Role(stack, "Node", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    stage.foundation.sessions.grant_logging(node)
    app.synth()
    assert actions(Template.from_stack(stack), "Node") == {
        "kms:Decrypt",
        "logs:CreateLogStream",
        "logs:DescribeLogGroups",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
    }


def test_alerts_are_routed_by_severity(lab: TeamStage) -> None:
    [workspace] = template_of(lab, "Observability").find_resources("AWS::APS::Workspace").values()
    assert workspace["Properties"]["KmsKeyArn"]
    separator, parts = workspace["Properties"]["AlertManagerDefinition"]["Fn::Join"]
    text = separator.join(part if isinstance(part, str) else "TOPIC" for part in parts)
    definition = yaml.safe_load(yaml.safe_load(text)["alertmanager_config"])
    routes = {route["receiver"]: route["matchers"] for route in definition["route"]["routes"]}
    assert routes == {"critical": ['severity="critical"'], "warning": ['severity="warning"']}
    assert {receiver["name"] for receiver in definition["receivers"]} == {definition["route"]["receiver"], "warning"}
    for receiver in definition["receivers"]:
        [sns] = receiver["sns_configs"]
        assert (sns["topic_arn"], sns["sigv4"]) == ("TOPIC", {"region": "us-east-1"})


def test_grafana_may_query_and_nothing_else(lab: TeamStage) -> None:
    template = template_of(lab, "Observability")
    template.has_resource_properties(
        "AWS::Grafana::Workspace", {"AuthenticationProviders": ["AWS_SSO"], "PermissionType": "CUSTOMER_MANAGED"}
    )
    assert all(action.startswith(("aps:Query", "aps:Get")) for action in actions(template, "Grafana"))


def test_the_scraper_knows_cluster_and_workspace(clustered: TeamStage) -> None:
    [scraper] = template_of(clustered, "Scraped").find_resources("AWS::APS::Scraper").values()
    source = scraper["Properties"]["Source"]["EksConfiguration"]
    assert source["ClusterArn"] == "arn:aws:eks:us-east-1:123456789012:cluster/lab-cluster"
    assert len(source["SubnetIds"]) == 2


def test_pods_get_their_roles_from_the_cluster(clustered: TeamStage) -> None:
    pods = {
        (p["Properties"]["Namespace"], p["Properties"]["ServiceAccount"])
        for name in ("Own", "Governed")
        for p in template_of(clustered, name).find_resources("AWS::EKS::PodIdentityAssociation").values()
    }
    assert pods == {
        ("paceline-observability", "prometheus"),
        ("paceline-observability", "grafana"),
        ("paceline-runs", "paceline-run"),
    }


def test_a_run_cannot_change_data_and_a_researcher_cannot_change_checkpoints(clustered: TeamStage) -> None:
    template = template_of(clustered, "Governed")
    for role, bucket, prefix in (("Run", "Checkpoints", "/*"), ("Researcher", "Data", "/datasets/*")):
        [write] = [s for s in statements(template, role) if "s3:PutObject" in s["Action"]]
        written = json.dumps(write["Resource"])
        assert bucket in written
        assert f'"{prefix}"' in written


def test_nobody_may_do_everything(lab: TeamStage, clustered: TeamStage) -> None:
    for template in (template_of(lab, "Governance"), template_of(clustered, "Governed")):
        for role in ("Researcher", "Operator"):
            assert not any("*" in action for action in actions(template, role))
            for statement in statements(template, role):
                if statement["Resource"] == "*":
                    listed = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                    assert all(a.split(":")[1].startswith(("Describe", "GetAuthorizationToken")) for a in listed)


def test_shells_open_on_the_teams_nodes_with_the_teams_document(lab: TeamStage) -> None:
    start = [s for s in statements(template_of(lab, "Governance"), "Researcher") if s["Action"] == "ssm:StartSession"]
    nodes, document = start
    assert nodes["Condition"]["StringEquals"] == {"aws:ResourceTag/paceline:team": "lab"}
    assert document["Resource"].endswith(":document/paceline-lab-session")


def test_nodes_of_other_teams_cannot_be_ended(lab: TeamStage) -> None:
    [repair] = [
        s for s in statements(template_of(lab, "Governance"), "Operator") if "ec2:TerminateInstances" in s["Action"]
    ]
    assert repair["Condition"]["StringEquals"] == {"aws:ResourceTag/paceline:team": "lab"}
    assert "ec2:TerminateInstances" not in actions(template_of(lab, "Governance"), "Researcher")


def test_roles_trust_named_roles_only(lab: TeamStage) -> None:
    roles = template_of(lab, "Governance").find_resources("AWS::IAM::Role")
    for name, role in roles.items():
        [trust] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        [pattern] = [trust["Condition"]["ArnLike"]["aws:PrincipalArn"]]
        assert pattern == SECTIONS["governance"]["researchers" if "Researcher" in name else "operators"]["trusted"]  # type: ignore[index]


def test_the_budget_counts_what_carries_the_tag_and_warns(lab: TeamStage) -> None:
    [budget] = template_of(lab, "Governance").find_resources("AWS::Budgets::Budget").values()
    assert budget["Properties"]["Budget"]["CostFilters"] == {"TagKeyValue": ["user:paceline:team$lab"]}
    levels = [
        (n["Notification"]["NotificationType"], n["Notification"]["Threshold"])
        for n in budget["Properties"]["NotificationsWithSubscribers"]
    ]
    assert levels == [("ACTUAL", 50), ("ACTUAL", 80), ("ACTUAL", 100), ("FORECASTED", 100)]


def test_only_the_named_workflows_deploy(lab: TeamStage) -> None:
    template = template_of(lab, "Delivery")
    subjects = {}
    for name, role in template.find_resources("AWS::IAM::Role").items():
        [trust] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert list(trust["Condition"]) == ["StringEquals"]
        subjects[name[:6]] = trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subjects == {
        "Deploy": ["repo:acme/platform:environment:production", "repo:acme/platform:ref:refs/heads/main"],
        "Previe": ["repo:acme/platform:pull_request"],
    }


def test_a_deployer_takes_bootstrap_roles_and_a_preview_only_looks(lab: TeamStage) -> None:
    template = template_of(lab, "Delivery")
    prefix, suffix = "arn:aws:iam::123456789012:role/cdk-hnb659fds-", "-role-123456789012-us-east-1"
    for role, expected in (
        ("Deployer", ["deploy", "file-publishing", "image-publishing", "lookup"]),
        ("Preview", "lookup"),
    ):
        statement, *reading = statements(template, role)
        assert statement["Action"] == "sts:AssumeRole"
        if role == "Preview":
            stacks = "arn:aws:cloudformation:us-east-1:123456789012:stack/lab-*/*"
            actions = ["cloudformation:GetTemplate", "cloudformation:ListStackResources"]
            assert [(s["Action"], s["Resource"]) for s in reading] == [
                (actions, stacks),
                ("cloudformation:DescribeStacks", "*"),
            ]
        else:
            assert reading == []
        wanted = expected if isinstance(expected, list) else [expected]
        found = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        assert found == [f"{prefix}{name}{suffix}" for name in wanted]


def test_two_teams_of_an_account_cannot_both_make_the_identity_provider(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "parameters")
    text = (SHIPPED / "sandbox.yaml").read_text() + "\ndelivery:\n  repository: acme/platform\n  branches: [main]\n"
    for path in (tmp_path / "parameters").glob("*.yaml"):
        if path.stem not in ("platform", "sandbox"):
            path.unlink()
    (tmp_path / "parameters" / "sandbox.yaml").write_text(text)
    (tmp_path / "parameters" / "vision.yaml").write_text(text.replace("10.64.", "10.65."))
    with pytest.raises(ParameterError) as caught:
        read_teams(tmp_path / "parameters")
    [problem] = caught.value.problems
    assert "vision.yaml" in problem.message
    assert "sandbox makes the identity provider for GitHub in account 123456789012 already" in problem.message
    assert "oidc-provider/token.actions.githubusercontent.com" in (problem.hint or "")
