"""The section `platform` of a recipe: what a node needs to run it."""

from __future__ import annotations

from pydantic import Field

from paceline.spec.base import Record


class Platform(Record):
    """What a node needs to run the recipe. The accelerator gives these values (paceline/recipe/accelerators.yaml)."""

    image: str | None = Field(default=None, description="of images/; null: the Python that starts the run")
    processes_per_node: int | None = Field(default=None, ge=1, description="ranks of a node; null: as the run is told")
    preview: bool = Field(
        default=False, description="allow what nobody has run on its hardware yet: engine torch on trainium"
    )
    compile_ahead: bool = Field(
        default=False, description="before the run its graphs are compiled, and kept for others"
    )
    environment: dict[str, str] = Field(default={}, description="variables of workers, beside those of the image")
