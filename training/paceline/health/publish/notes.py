"""The order that the healer left on a node's object, and whether it was answered."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from paceline.spec.healing import Answer, Order


def open_order(order: Any, answer: Any) -> Order | None:
    """The order, unless `answer` is to it already. Notes are JSON that people may have written over: what cannot be
    read is no order."""
    try:
        asked = Order.model_validate(order)
    except ValidationError:
        return None
    try:
        return None if Answer.model_validate(answer).id == asked.id else asked
    except ValidationError:
        return asked
