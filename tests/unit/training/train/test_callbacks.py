"""Callbacks that a recipe names are found, or the name is refused."""

from __future__ import annotations

import pytest

from paceline.spec.errors import RecipeError
from paceline.train.callbacks import Callback, load


class Mine(Callback):
    """Found by its name."""


def test_a_callback_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("my_module")
    module.Mine = Mine  # type: ignore[attr-defined]
    module.number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_module", module)
    (found,) = load(["my_module:Mine"])
    assert isinstance(found, Mine)
    for name in ("my_module:number", "my_module:Nothing", "my_module", "no_module:Mine"):
        with pytest.raises(RecipeError, match=f"callbacks: {name}"):
            load([name])
