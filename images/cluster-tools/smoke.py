"""The last step of the image's build: what is inside is what the matrix says."""

from __future__ import annotations

from inside import require

require("cluster-tools")
