"""A stand-in for Neuron's compiler, with the names and the layout that its documents give (graphs/cache.py says which).

It compiles nothing. `install` puts a `neuron_parallel_compile` and a `neuronx-cc` into a directory; the first runs its
command with the variable that the genuine one sets, and then makes a folder for each of MODULES.
"""

from __future__ import annotations

import sys
from pathlib import Path

VERSION = "2.25.3371.0+f524f7f8"
MODULES = ("MODULE_10516f7fd25f0ff5c02a+39f12043", "MODULE_111e74a8db1fe63fcd68+39f12043")

_TOOL = """\
#!{python}
import json, os, subprocess, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.neuron import compiler
cache = Path(os.environ["NEURON_COMPILE_CACHE_URL"])
if sys.argv[1] == "--command":
    with (cache.parent / "commands").open("a") as told:
        told.write(" ".join(sys.argv[1:]) + "\\n")
    sys.exit()
code = subprocess.run(sys.argv[1:], env={{**os.environ, "NEURON_EXTRACT_GRAPHS_ONLY": "1"}}).returncode
if code == 0:
    for module in compiler.MODULES:
        compiler.compiled(cache, module)
sys.exit(code)
"""


def compiled(cache: Path, module: str, content: bytes = b"\x7fneff") -> Path:
    """Put a compiled graph into `cache`; its folder."""
    folder = graph(cache, module)
    (folder / "model.neff").write_bytes(content + module.encode())
    (folder / "model.done").touch()
    return folder


def graph(cache: Path, module: str) -> Path:
    """Put a graph into `cache` that is not compiled; its folder."""
    folder = cache / f"neuronxcc-{VERSION}" / module
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.hlo_module.pb").write_bytes(module.encode())
    (folder / "compile_flags.json").write_text('["--model-type=transformer"]')
    return folder


def install(directory: Path) -> None:
    """Make `directory` one for PATH and PYTHONPATH: the tool, and the metadata of the compiler's distribution."""
    directory.mkdir()
    tool = directory / "neuron_parallel_compile"
    tool.write_text(_TOOL.format(python=sys.executable, root=str(Path(__file__).parents[2])))
    tool.chmod(0o755)
    metadata = directory / f"neuronx_cc-{VERSION}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: neuronx-cc\nVersion: {VERSION}\n")
