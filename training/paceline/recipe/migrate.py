"""Read recipes that were written for older versions of the schema: what they say keeps its meaning.

A file says its version; one that does not is of version 1, the last that had no such key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from paceline.recipe.schema import VERSION
from paceline.spec.documents import Document, Origin
from paceline.spec.errors import RecipeError

Step = Callable[[Document], Document]


def migrate(document: Document) -> Document:
    """`document`, one file, as the newest version has it. RecipeError when it is newer, or no version at all."""
    version = document.data.get("version", 1)
    where = document.origin(("version",))
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RecipeError(f"{where}: version: is a number of 1 or above", f"write `version: {VERSION}`")
    if version > VERSION:
        raise RecipeError(
            f"{where}: version: {version} is newer than this paceline, which reads up to {VERSION}", "update paceline"
        )
    for step in range(version, VERSION):
        document = _STEPS[step](document)
    newest = Document(data={"version": VERSION}, origins={("version",): where})
    return newest.over(document)


def _accelerator_arrived(document: Document) -> Document:
    """Version 1 computed in float32 where nothing was said; from 2 on the accelerator decides. A file with a base says
    nothing about what its base leaves open."""
    if "base" in document.data:
        return document
    origin = Origin(source=f"{document.origin(()).source}, which is of version 1")
    meant = {"compute": {"precision": "float32"}}
    return document.over(Document(data=meant, origins={("compute", "precision"): origin}))


_STEPS: Mapping[int, Step] = {1: _accelerator_arrived}
