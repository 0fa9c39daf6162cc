"""TensorBoard: event files in `tensorboard/` of the run's directory."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paceline.journal.trackers.base import Tracker, library


class TensorBoardTracker(Tracker):
    """Writes with TensorBoard's own library, which needs neither TensorFlow nor PyTorch."""

    def __init__(self) -> None:
        self._events: Any = library("tensorboard.compat.proto.event_pb2")
        self._summaries: Any = library("tensorboard.compat.proto.summary_pb2")
        self._tensors: Any = library("tensorboard.compat.proto.tensor_pb2")
        self._writers: Any = library("tensorboard.summary.writer.event_file_writer")
        self._writer: Any = None

    def start(self, run: str, config: Mapping[str, Any], directory: Path) -> None:
        self._writer = self._writers.EventFileWriter(str(directory / "tensorboard"))
        self.text(0, f"```json\n{json.dumps(config, indent=1)}\n```")

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._add(step, [self._summaries.Summary.Value(tag=name, simple_value=v) for name, v in values.items()])

    def text(self, step: int, message: str) -> None:
        plugin = self._summaries.SummaryMetadata.PluginData(plugin_name="text")
        tensor = self._tensors.TensorProto(dtype="DT_STRING", string_val=[message.encode()])
        metadata = self._summaries.SummaryMetadata(plugin_data=plugin)
        self._add(step, [self._summaries.Summary.Value(tag="journal", metadata=metadata, tensor=tensor)])

    def artifact(self, path: Path) -> None:
        """Nothing: the file lies beside the event files."""

    def finish(self) -> None:
        self._writer.close()

    def _add(self, step: int, values: list[Any]) -> None:
        summary = self._summaries.Summary(value=values)
        self._writer.add_event(self._events.Event(wall_time=time.time(), step=step, summary=summary))
