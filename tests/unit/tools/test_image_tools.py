"""What is lent to a build, what a log says was carried out, and digests in a team's file."""

from __future__ import annotations

import pytest

from tools.images.build import carried_out, table
from tools.images.digests import main, write
from tools.images.lent import parse, render

DIGEST = f"sha256:{'1' * 64}"
LISTING = """
:env:.cert='/etc/ca.crt'
:env:.find-links='/srv/wheels'
global.index-url='https://mirror.example/simple'
global.extra-index-url='file:///srv/index https://other.example/simple'
global.find-links='/home/wheels'
"""


def test_the_environment_goes_before_files() -> None:
    assert parse(LISTING)["find-links"] == ["/srv/wheels"]


def test_what_only_this_machine_reaches_is_not_lent() -> None:
    rendered = render(parse(LISTING), ca=True, wheels=True)
    assert rendered == (
        "[global]\n"
        "disable-pip-version-check = true\n"
        "index-url = https://mirror.example/simple\n"
        "extra-index-url = https://other.example/simple\n"
        "cert = /run/secrets/ca\n"
        "find-links = /opt/wheels\n"
    )
    assert "/run/secrets" not in render(parse(LISTING), ca=False, wheels=False)


def test_steps_found_in_the_cache_were_not_carried_out() -> None:
    log = (
        "#1 [internal] load build definition from Dockerfile\n"
        "#7 [dependencies 2/4] RUN python -m venv /opt/paceline\n"
        "#7 CACHED\n"
        "#9 [stage-3 4/5] RUN pip install /out/*.whl\n"
        "#9 DONE 1.2s\n"
    )
    assert carried_out(log) == ("RUN pip install /out/*.whl",)


def test_a_table_has_columns() -> None:
    assert table([("image", "MB"), ("cpu", "1")]) == "image  MB\ncpu    1"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '  node_agent: {repository: node-agent, tag: "1.0"}  # ours',
            f"  node_agent: {{repository: node-agent, tag: {DIGEST}}}  # ours",
        ),
        ("repository: node-agent\n  tag: 1.0\nother: 1\n", f"repository: node-agent\n  tag: {DIGEST}\nother: 1\n"),
        (f"agent_digest: sha256:{'0' * 64}\n", f"agent_digest: {DIGEST}\n"),
    ],
)
def test_a_digest_goes_where_the_image_is_named(before: str, after: str) -> None:
    assert write(before, "node-agent", DIGEST) == after
    assert write(after, "node-agent", DIGEST) == after


def test_an_image_that_nothing_names_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no image controller"):
        write('{repository: node-agent, tag: "1.0"}', "controller", DIGEST)
    assert main(["/dev/null", "controller=latest"]) == 2
    assert "not NAME=sha256:" in capsys.readouterr().err
