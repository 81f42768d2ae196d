# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest runs with is held against the persistent domain, and what libvirt does to a running one is no matter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain.described import described
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Otherwise
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES, NAMES, recorded
from lxml import etree

DOMAIN = recorded("unprotected-primary").domain
DISK, NIC = "devices/disk[2]", "devices/interface[2]"
CDROM = "<disk type='file' device='cdrom'><source file='/{}.iso'/><target dev='sda' bus='sata'/><readonly/></disk>"
LAN = "<interface type='{}'><mac address='{}'/><source network='lan'{}/>{}<model type='virtio'/></interface>"
MAC, ANOTHER = "52:54:00:4d:01:32", "52:54:00:00:00:01"


def edited(xml: str, change: Callable[[etree._Element], None]) -> str:
    root = etree.fromstring(xml)
    change(root)
    return etree.tostring(root, encoding="unicode")


def without(path: str) -> Callable[[etree._Element], None]:
    def change(root: etree._Element) -> None:
        element = root.find(path)
        element.getparent().remove(element)

    return change


def setting(path: str, key: str, value: str) -> Callable[[etree._Element], None]:
    return lambda root: root.find(path).set(key, value)


def adding(device: str) -> Callable[[etree._Element], None]:
    return lambda root: root.find("devices").append(etree.fromstring(device))


def between(inactive: str, live: str) -> tuple[Otherwise, ...]:
    return described(inactive, live)["otherwise"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_otherwise_in_what_was_recorded_of_a_pair(name: str) -> None:
    domain = recorded(name).domain
    if domain is not None and domain.inactive_xml:
        assert described(domain.inactive_xml, domain.live_xml)["otherwise"] == ()


@pytest.mark.parametrize("name", ["plain-running", "rich"])
def test_what_libvirt_adds_to_a_running_domain_is_not_otherwise(name: str) -> None:
    inactive, live = ((FIXTURES / "domains" / f"{name}{kind}.xml").read_text() for kind in ("", ".live"))
    assert between(inactive, live) == ()


def test_what_only_the_running_domain_has_is_found_and_the_other_way_round() -> None:
    for path, what in ((NIC, f"NIC {MAC}"), (DISK, "disk vdb")):
        (here,) = between(edited(DOMAIN.inactive_xml, without(path)), DOMAIN.live_xml)
        assert (here.what, here.persistent, bool(here.running)) == (what, None, True)
        (there,) = between(DOMAIN.inactive_xml, edited(DOMAIN.live_xml, without(path)))
        assert (there.what, bool(there.persistent), there.running) == (what, True, None)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (setting("os/type", "machine", "pc-q35-10.0"), "the machine type"),
        (lambda root: setattr(root.find("memory"), "text", "999424"), "the memory"),
        (setting("vcpu", "current", "9"), "the number of processors"),
        (setting(f"{DISK}/source", "file", "/other.qcow2"), "disk vdb"),
        (setting(f"{DISK}/driver", "type", "raw"), "disk vdb"),
        (setting(f"{NIC}/source", "bridge", "br9"), f"NIC {MAC}"),
        (setting(f"{NIC}/model", "type", "e1000"), f"NIC {MAC}"),
        (setting(f"{NIC}/address", "slot", "0x1e"), f"the address of NIC {MAC}"),
        (adding(LAN.format("network", MAC, "", "")), f"NIC {MAC}"),
    ],
)
def test_what_both_have_in_another_way_is_found(change: Callable[[etree._Element], None], what: str) -> None:
    (found,) = between(edited(DOMAIN.inactive_xml, change), DOMAIN.live_xml)
    assert found.what == what
    assert None not in (found.running, found.persistent)


@pytest.mark.parametrize(
    ("inactive", "live"),
    [
        (CDROM.format("one"), CDROM.format("other")),
        (CDROM.format("one"), CDROM.replace("<source file='/{}.iso'/>", "")),
        (
            LAN.format("network", ANOTHER, "", ""),
            LAN.format("bridge", ANOTHER, " portid='x' bridge='br0'", "<target dev='vnet9'/>"),
        ),
    ],
)
def test_a_medium_and_what_a_network_comes_to_are_no_matter(inactive: str, live: str) -> None:
    assert between(edited(DOMAIN.inactive_xml, adding(inactive)), edited(DOMAIN.live_xml, adding(live))) == ()


def test_memory_is_in_whole_mib_as_libvirt_rounds_it() -> None:
    memory = int(etree.fromstring(DOMAIN.live_xml).findtext("memory")) - 1
    less = edited(DOMAIN.inactive_xml, lambda root: setattr(root.find("memory"), "text", str(memory)))
    assert between(less, DOMAIN.live_xml) == ()
