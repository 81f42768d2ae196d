# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fact that libvirt's schema allows of a domain, as domain/known_devices.py names them, one element or attribute
a line with its values: schema_facts.py DIRECTORY-OF-SCHEMAS... >fixtures/libvirt-facts.txt

The schemas are /usr/share/libvirt/schemas of Debian's libvirt-common (libvirt0 in Debian 12); machines without libvirt
have none, so the tests carry what was extracted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lxml import etree

RELAXNG = "{http://relaxng.org/ns/structure/1.0}"
# An image described in itself once more; its first level is in the list.
NESTED = ("backingStore", "dataStore", "mirror")
SETTINGS = ("clock", "cpu", "features", "keywrap", "launchSecurity", "memoryBacking", "os")


@dataclass
class Schema:
    start: list[etree._Element] = field(default_factory=list)
    defines: dict[str, list[etree._Element]] = field(default_factory=dict)

    def read(self, path: Path) -> Schema:
        root = etree.parse(str(path)).getroot()
        for include in root.iter(f"{RELAXNG}include"):
            self.read(path.parent / include.get("href"))
        self.start += root.iter(f"{RELAXNG}start")
        for define in root.iter(f"{RELAXNG}define"):
            self.defines.setdefault(define.get("name"), []).append(define)
        return self

    def _inner(self, node: etree._Element, above: tuple[str, ...]) -> Iterator[tuple[etree._Element, tuple[str, ...]]]:
        """What is in a pattern, with the names that are referred to put in; none twice on one way down."""
        for child in node.iterchildren(etree.Element):
            name = child.get("name")
            if child.tag != f"{RELAXNG}ref":
                yield child, above
            elif name not in above:
                for define in self.defines[name]:
                    yield from self._inner(define, (*above, name))

    def facts(self, node: etree._Element, path: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
        for child, names in self._inner(node, above):
            name = child.get("name")
            if child.tag == f"{RELAXNG}element":
                inside = f"{path}/{name}".lstrip("/")
                yield inside
                if name not in NESTED:
                    yield from self.facts(child, inside, names)
            elif child.tag == f"{RELAXNG}attribute":
                values = sorted(set(self._values(child, names)))
                yield from (f"{path}@{name}={value}" for value in values) if values else (f"{path}@{name}",)
            elif child.tag not in (f"{RELAXNG}{kind}" for kind in ("name", "value", "data", "text")):
                yield from self.facts(child, path, names)

    def _values(self, node: etree._Element, above: tuple[str, ...]) -> Iterator[str]:
        for child, names in self._inner(node, above):
            if child.tag == f"{RELAXNG}value":
                yield child.text or ""
            else:
                yield from self._values(child, names)


def looked_at(fact: str) -> str | None:
    """The name that a fact of the schema has in the table; None for what is not looked at."""
    inside = fact.removeprefix("domain/")
    tag = inside.partition("/")[0].partition("@")[0]
    if inside.startswith("devices/"):
        return inside.removeprefix("devices/")
    if tag in SETTINGS:
        return inside
    if fact.startswith("domain@type") or (inside == tag and fact != "domain"):
        return fact
    return None


def main(directories: list[str]) -> None:
    found: dict[str, set[str]] = {}
    for directory in directories:
        schema = Schema().read(Path(directory) / "domain.rng")
        for fact in filter(None, map(looked_at, schema.facts(schema.start[0]))):
            name, _equals, value = fact.partition("=")
            found.setdefault(name, set()).update({value} if value else ())
    for name, values in sorted(found.items()):
        print(f"{name}={'|'.join(sorted(values))}" if values else name)


if __name__ == "__main__":
    main(sys.argv[1:])
