# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the other host says of its domain is read from the XML here, and not believed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain.described import read_anew
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, recorded

PRIMARY = recorded("protected-primary")


@pytest.mark.parametrize("name", NAMES)
def test_of_an_honest_host_nothing_becomes_other(name: str) -> None:
    seen = recorded(name)
    again = read_anew(seen, "web1")
    unknown = {"unsupported": (), "untried": {}, "foreign": {}}
    facts = ("listens", "network_filters", "files", "processors", "numa_nodes", "partition", "type", "cpu_mode")
    as_before = {key: getattr(seen.domain, key) for key in facts} if seen.domain else {}
    assert again.domain is None or replace(again.domain, **unknown, **as_before) == replace(seen.domain, **unknown)


@pytest.mark.parametrize(
    ("claim", "true"),
    [
        ({"emulator": "/tmp/x"}, "/usr/bin/qemu-system-x86_64"),
        ({"memory": 1}, PRIMARY.domain.memory),
        ({"machine": "pc-i440fx-1.0"}, PRIMARY.domain.machine),
        ({"record": None}, PRIMARY.domain.record),
    ],
)
def test_what_the_xml_tells_is_not_believed(claim: dict, true: object) -> None:
    lied = read_anew(replace(PRIMARY, domain=replace(PRIMARY.domain, **claim)), "web1")
    assert getattr(lied.domain, next(iter(claim))) == true


def test_devices_that_are_kept_quiet_are_found() -> None:
    bad = "<filesystem><source dir='/'/><target dir='x'/></filesystem></devices>"
    xml = PRIMARY.domain.live_xml.replace("</devices>", bad)
    found = read_anew(replace(PRIMARY, domain=replace(PRIMARY.domain, live_xml=xml, unsupported=())), "web1")
    assert any("filesystem" in words for words in found.domain.unsupported)
    assert "path /" in found.domain.foreign


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<name>web1</name>", "<name>database</name>"),
        (f"<uuid>{PRIMARY.domain.uuid}</uuid>", "<uuid>11111111-2222-3333-4444-555555555555</uuid>"),
    ],
)
@pytest.mark.parametrize("field", ["inactive_xml", "live_xml"])
def test_an_xml_of_another_domain_is_refused(field: str, old: str, new: str) -> None:
    xml = getattr(PRIMARY.domain, field)
    assert old in xml
    with pytest.raises(ColoError, match="may be compromised"):
        read_anew(replace(PRIMARY, domain=replace(PRIMARY.domain, **{field: xml.replace(old, new)})), "web1")


def test_a_domain_of_another_name_is_refused() -> None:
    with pytest.raises(ColoError):
        read_anew(PRIMARY, "web2")


def test_no_live_xml_is_taken_without_the_one_that_is_judged_with_it() -> None:
    alone = replace(PRIMARY, domain=replace(PRIMARY.domain, inactive_xml="", untried={}, foreign={}))
    assert read_anew(alone, "web1").domain.live_xml is None
