# SPDX-License-Identifier: GPL-3.0-or-later
"""What the table of known devices says was run is in a guest that runs: of the lab's, or of a recorded pair."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("lab", "long")]
sys.path.insert(0, str(ROOT / ".cache/collections"))

from ansible_collections.lockstep.colo.plugins.module_utils.domain import facts  # noqa: E402
from ansible_collections.lockstep.colo.plugins.module_utils.domain.known_devices import ROWS, RUN  # noqa: E402
from device_list import GUESTS, shape_of  # noqa: E402
from lockstep_lab import guest  # noqa: E402
from lxml import etree  # noqa: E402

RECORDED = ROOT / "tests" / "unit" / "fixtures" / "observations"
# What libvirt puts into the running domain, which the lab does not write, and what the lab has on instances alone.
BY_LIBVIRT = {
    "controller@type=ide",
    "controller@type=sata",
    "controller@type=virtio-serial",
    "controller@model=pcie-root",
    "controller@model=pcie-root-port",
    "os/loader",
    "os/loader@readonly=yes",
    "os/loader@type=pflash",
    "os/nvram",
    "os/nvram@template",
    "domain@type=kvm",
}


def guests() -> Iterator[str]:
    for devices in GUESTS:
        if not any(device.refused for device in devices):
            yield guest.domain_xml(guest.Guest(**shape_of(devices)), kvm=False)
    for path in RECORDED.glob("*.json"):
        seen = json.loads(path.read_text(encoding="utf-8"))
        xml = ((seen.get("observation") or seen)["domain"] or {}).get("live_xml")
        if xml:
            yield xml


@pytest.fixture(name="run", scope="module")
def facts_that_were_run() -> set[str]:
    return {fact.name for xml in guests() for fact in facts.facts(etree.fromstring(xml))}


def names(keys: str) -> Iterator[str]:
    for key in keys.split():
        path, equals, values = key.partition("=")
        yield from (f"{path}{equals}{value}" for value in values.split("|"))


def is_in(name: str, run: set[str]) -> bool:
    """Whether a fact, or one of those that a key with ``**`` stands for, was run."""
    bare = {fact.partition("=")[0] for fact in run}
    if name.startswith("**/"):
        return any(f"/{fact}".endswith(name[2:]) for fact in bare)
    if name.endswith("/**"):
        return any(f"{fact}/".startswith(name[:-2]) for fact in bare)
    return name in run or name in bare


def test_it_was(run: set[str]) -> None:
    said = {name for row in ROWS if row.verdict == RUN for name in names(row.keys)}
    assert len(said) > 100
    assert sorted(name for name in said - BY_LIBVIRT if not is_in(name, run)) == []


def test_what_libvirt_is_said_to_add_is_not_in_the_guests_anyway(run: set[str]) -> None:
    assert sorted(BY_LIBVIRT & run) == []
