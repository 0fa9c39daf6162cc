"""Memory of GPUs: uncorrectable errors, and rows that wait to be remapped or cannot be."""

from __future__ import annotations

from paceline.health.base import QUICK, Check, Node, Probe, Symptom
from paceline.health.nvidia import gpu, number, rows, table

_ECC = ("index", "uuid", "ecc.errors.uncorrected.volatile.total")
_REMAP = ("uuid", "remapped_rows.pending", "remapped_rows.failure")
_SEPARATOR = "--- remapped rows\n"


class GpuEcc(Check):
    """Two tables of nvidia-smi: volatile ECC counters, remapped rows."""

    finds = "uncorrectable memory errors of GPUs, row remapping that is pending or failed"
    stages = QUICK
    cost = 1.0
    timeout = 45.0

    def applies(self, node: Node) -> bool:
        return node.family == "nvidia"

    async def observe(self, probe: Probe, node: Node) -> str:
        ecc = await table(probe, "--query-gpu", _ECC)
        return ecc + _SEPARATOR + await table(probe, "--query-remapped-rows", _REMAP)

    def parse(self, text: str, node: Node) -> list[Symptom]:
        ecc, _, remapped = text.partition(_SEPARATOR)
        found = []
        index = {}
        for row in rows(ecc, _ECC):
            index[row["uuid"]] = row.get("index", "")
            if errors := number(row, _ECC[2]):
                evidence = f"{errors:.0f} uncorrectable errors"
                found.append(Symptom(fault="nvidia.smi.ecc_uncorrected", device=gpu(row), evidence=evidence))
        for row in rows(remapped, _REMAP):
            device = gpu({**row, "index": index.get(row["uuid"], "")})
            for field in _REMAP[1:]:
                if number(row, field):
                    fault = f"nvidia.smi.row_remap_{field.rpartition('.')[2]}"
                    found.append(Symptom(fault=fault, device=device, evidence=f"{field} is {row[field]}"))
        return found
