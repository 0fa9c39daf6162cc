"""AWS Budgets: ministack has an API for them but no CloudFormation handler."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ministack.services import budgets
from ministack.services.cloudformation import provisioners

from paceline.local.aws.handler import Created, Handler, Properties


class Budget:
    """AWS::Budgets::Budget. The API's bodies are the template's properties, with amounts as text."""

    def create(self, logical_id: str, properties: Properties, stack: str) -> Created:
        name = properties["Budget"].get("BudgetName") or provisioners._physical_name(stack, logical_id, max_len=100)
        body = {
            "Budget": _budget(name, properties),
            "NotificationsWithSubscribers": properties.get("NotificationsWithSubscribers", []),
            "ResourceTags": properties.get("ResourceTags", []),
        }
        _accepted(budgets._create_budget(body))
        return name, {"Id": name}

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        _accepted(budgets._update_budget({"NewBudget": _budget(physical_id, new)}))
        return physical_id, {"Id": physical_id}

    def delete(self, physical_id: str, properties: Properties) -> None:
        budgets._delete_budget({"BudgetName": physical_id})


HANDLERS: Mapping[str, Handler] = {"AWS::Budgets::Budget": Budget()}


def _budget(name: str, properties: Properties) -> dict[str, Any]:
    budget = {**properties["Budget"], "BudgetName": name}
    if limit := budget.get("BudgetLimit"):
        budget["BudgetLimit"] = {**limit, "Amount": str(limit["Amount"])}
    return budget


def _accepted(response: tuple[int, Mapping[str, str], bytes]) -> None:
    status, _, content = response
    if status >= 400:
        refusal = json.loads(content)
        raise ValueError(
            f"{refusal.get('Message') or refusal.get('message')} (Service: Budgets, Status Code: {status})"
        )
