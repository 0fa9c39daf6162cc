"""OpenID Connect providers: ministack has an API for them but no CloudFormation handler."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

from ministack.services import iam

from paceline.local.aws.handler import Created, Handler, Properties


class OpenIdConnectProvider:
    """AWS::IAM::OIDCProvider."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        given = {"Url": [properties["Url"]]}
        for name in ("ClientIdList", "ThumbprintList"):
            action_name = name.replace("Id", "ID")
            for index, value in enumerate(properties.get(name, []), 1):
                given[f"{action_name}.member.{index}"] = [value]
        for index, tag in enumerate(properties.get("Tags", []), 1):
            given |= {f"Tags.member.{index}.{part}": [tag[part]] for part in ("Key", "Value")}
        status, _, content = iam._create_oidc_provider(given)
        answer = ElementTree.fromstring(content)
        if status >= 400:
            raise ValueError(f"{answer.findtext('.//{*}Message')} (Service: Iam, Status Code: {status})")
        arn = answer.findtext(".//{*}OpenIDConnectProviderArn", "")
        return arn, {"Arn": arn}

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        iam._oidc_providers[physical_id] |= {
            "ClientIDList": new.get("ClientIdList", []),
            "ThumbprintList": new.get("ThumbprintList", []),
            "Tags": new.get("Tags", []),
        }
        return physical_id, {"Arn": physical_id}

    def delete(self, physical_id: str, properties: Properties) -> None:
        iam._delete_oidc_provider({"OpenIDConnectProviderArn": [physical_id]})


HANDLERS: Mapping[str, Handler] = {"AWS::IAM::OIDCProvider": OpenIdConnectProvider()}
