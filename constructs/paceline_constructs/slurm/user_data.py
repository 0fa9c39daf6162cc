"""What a node of a Slurm cluster runs at its first boot: the scripts of node/, as one multi-part MIME text."""

from __future__ import annotations

from dataclasses import dataclass
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from importlib.resources import files
from shlex import quote
from typing import Literal

import yaml

# EC2 accepts 16 KiB before encoding; PCS merges parts of its own
MAX_BYTES = 14 * 1024

# where the scripts lie on a node; the last three are named in slurm.conf
BIN = "/opt/paceline/bin"
PROLOG, EPILOG, HEALTH = f"{BIN}/prolog", f"{BIN}/epilog", f"{BIN}/health"

_SCRIPTS = ("common", "scratch", "mounts", "containers", "agent", "checks", "prolog", "epilog", "health")


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeProps:
    """What differs between nodes. The three parameters are names in SSM: user data can hold no weak reference, and the
    values are read at boot. Without `agent_digest` no agent runs; without `family` a node has no accelerators to count.
    `driver_floor` is the oldest driver of the accelerators with which a node takes jobs; None: any.
    """

    team: str
    family: Literal["nvidia", "neuron"] | None
    accelerators: int
    driver_floor: str | None
    homes_parameter: str
    lustre_parameter: str
    registry_parameter: str
    containers: bool
    agent_digest: str | None


def user_data(props: NodeProps) -> str:
    """The text for a launch template, before base64. It holds no secret and no reference."""
    message = MIMEMultipart("mixed", boundary="==PACELINE==")
    # cloud-config runs before the node registers with PCS, a shell script after that and before slurmd
    message.attach(MIMEText(_cloud_config(props), "cloud-config", "us-ascii"))
    message.attach(MIMEText(_script("boot"), "x-shellscript", "us-ascii"))
    text = message.as_string()
    assert len(text) <= MAX_BYTES, f"user data of {len(text)} bytes"
    return text


def _cloud_config(props: NodeProps) -> str:
    environment = {
        "PACELINE_TEAM": props.team,
        "PACELINE_FAMILY": props.family or "",
        "PACELINE_ACCELERATORS": str(props.accelerators),
        "PACELINE_DRIVER_FLOOR": props.driver_floor or "",
        "PACELINE_HOMES_PARAMETER": props.homes_parameter,
        "PACELINE_LUSTRE_PARAMETER": props.lustre_parameter,
        "PACELINE_REGISTRY_PARAMETER": props.registry_parameter,
        "PACELINE_CONTAINERS": "1" if props.containers else "0",
        "PACELINE_AGENT_DIGEST": props.agent_digest or "",
    }
    lines = "".join(f"{name}={quote(value)}\n" for name, value in environment.items())
    written = [{"path": "/etc/paceline/node.env", "permissions": "0644", "content": lines}]
    written += [{"path": f"{BIN}/{name}", "permissions": "0755", "content": _script(name)} for name in _SCRIPTS]
    return "#cloud-config\n" + yaml.dump({"write_files": written}, Dumper=_Dumper, sort_keys=False, width=1000)


def _script(name: str) -> str:
    return files(__package__).joinpath("node", f"{name}.sh").read_text(encoding="ascii")


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a literal block, so that a template can be read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
