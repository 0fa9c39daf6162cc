"""Where a dataset's tokenizer and chat template come from: files, or what lies beside an imported model."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from paceline.checkpoint.repository import CheckpointRepository
from paceline.clients.object_store import open_store
from paceline.data.chat import TEMPLATE_NAME, TOKENIZER_CONFIG_NAME, ChatTemplate
from paceline.data.tokenizer import TOKENIZER_NAME, TextTokenizer
from paceline.spec.errors import DataError

_WANTED = (TOKENIZER_NAME, TOKENIZER_CONFIG_NAME, TEMPLATE_NAME)
_TEMPLATES = files("paceline.data").joinpath("templates")


def read_tokenizer(place: str, end_of_text: str | None) -> TextTokenizer:
    """The tokenizer in a file, or of the model whose checkpoint is at `place`."""
    if Path(place).is_file():
        return TextTokenizer.load(Path(place).read_bytes(), place, end_of_text)
    assets = _assets(place)
    if TOKENIZER_NAME not in assets:
        raise DataError(
            f"{place}: neither a file nor the root of a model with a {TOKENIZER_NAME}",
            "give the path of a tokenizer.json, or import the model with `paceline checkpoint import`",
        )
    return TextTokenizer.load(assets[TOKENIZER_NAME], f"{place}: {TOKENIZER_NAME}", end_of_text)


def read_template(chosen: str | None, tokenizer: str) -> ChatTemplate:
    """The template in the file `chosen`, or the shipped one of that name, or that of the model at `tokenizer`."""
    beside = {} if Path(tokenizer).is_file() else _assets(tokenizer)
    if chosen is None:
        template = ChatTemplate.beside(beside, tokenizer)
        if template is None:
            raise DataError(f"{tokenizer}: has no chat template", "name one: --chat-template FILE, or chatml")
        return template
    shipped = _TEMPLATES.joinpath(f"{chosen}.jinja")
    if not Path(chosen).is_file() and not shipped.is_file():
        raise DataError(f"--chat-template {chosen}: no such file, and none is shipped by that name", "try chatml")
    text = Path(chosen).read_text(encoding="utf-8") if Path(chosen).is_file() else shipped.read_text(encoding="utf-8")
    return ChatTemplate(text, chosen, ChatTemplate.specials(beside, tokenizer))


def _assets(place: str) -> dict[str, bytes]:
    """What lies beside the newest model at `place`, of what is asked for here."""
    repository = CheckpointRepository(open_store(place, DataError))
    for step in repository.steps():
        assets = [a for a in repository.manifest(step).assets if a.name in _WANTED]
        if assets:
            return {asset.name: bytes(repository.read(step, asset)) for asset in assets}
    return {}
