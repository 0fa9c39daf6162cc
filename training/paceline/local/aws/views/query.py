"""EC2, whose API speaks XML: ministack answers, and what it leaves out of an answer is put back.

query.complete("DescribeVpcs", "vpcSet", lambda vpc: vpc.append(query.element("state", "available")))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any
from xml.etree import ElementTree

from ministack.services import ec2

from paceline.local.aws.handler import small

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"

Element = ElementTree.Element
Parameters = Mapping[str, list[str]]
Response = tuple[int, dict[str, str], bytes]

ElementTree.register_namespace("", NAMESPACE)


def complete(action: str, listed: str, fill: Callable[[Element], None]) -> None:
    """Have `fill` complete each item of the set `listed` in the answers of an action."""

    def completed(items: Element, parameters: Parameters) -> None:
        for item in items:
            fill(item)

    _changed(action, listed, completed)


def keep_to_filters(action: str, listed: str) -> None:
    """Drop what the request's filters do not match, where ministack does not look at them.

    A filter is called as the field of the item, in kebab case; `tag:KEY` looks at a tag. `*` and `?` match as in EC2.
    """

    def filtered(items: Element, parameters: Parameters) -> None:
        filters = ec2._parse_filters(parameters)
        for item in list(items):
            if not all(_matches(item, name, wanted) for name, wanted in filters.items()):
                items.remove(item)

    _changed(action, listed, filtered)


def element(name: str, value: Any) -> Element:
    """A property as EC2 writes it: a small first letter, and a list of Xs as xSet with an `item` each."""
    node = Element(f"{{{NAMESPACE}}}{name}")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = small(key)
            node.append(element(f"{name.removesuffix('s')}Set" if isinstance(inner, list) else name, inner))
    elif isinstance(value, list):
        node.extend(element("item", inner) for inner in value)
    else:
        node.text = str(value).lower() if isinstance(value, bool) else str(value)
    return node


def _changed(action: str, listed: str, change: Callable[[Element, Parameters], None]) -> None:
    describe = ec2._ACTION_MAP[action]

    def changed(parameters: Parameters) -> Response:
        status, headers, content = describe(parameters)
        if status >= 400:
            return status, headers, content
        answer = ElementTree.fromstring(content)
        for items in answer.iterfind(f"{{*}}{listed}"):
            change(items, parameters)
        return status, headers, ElementTree.tostring(answer, encoding="utf-8", xml_declaration=True)

    ec2._ACTION_MAP[action] = changed


def _matches(item: Element, name: str, wanted: list[str]) -> bool:
    if name.startswith("tag:"):
        tags = item.iterfind("{*}tagSet/{*}item")
        found = [tag.findtext("{*}value", "") for tag in tags if tag.findtext("{*}key") == name.removeprefix("tag:")]
    else:
        first, *rest = name.split("-")
        found = [node.text or "" for node in item.iterfind("{*}" + first + "".join(map(str.capitalize, rest)))]
    return any(fnmatchcase(value, pattern) for value in found for pattern in wanted)
