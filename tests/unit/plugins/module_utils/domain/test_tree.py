# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain is read as libvirt would read it, or not at all."""

from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import reading, tree
from ansible_collections.lockstep.colo.plugins.module_utils.domain.foreign import foreign_in
from ansible_collections.lockstep.colo.plugins.module_utils.domain.tree import DomainXmlError
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES, recorded

PLAIN = (FIXTURES / "domains" / "minimal.xml").read_text(encoding="utf-8")
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


def with_device(xml: str) -> str:
    return PLAIN.replace("</devices>", f"{xml}</devices>")


def beside(xml: str) -> str:
    return PLAIN.replace("</domain>", f"{xml}</domain>")


@pytest.mark.parametrize("hidden", ["<!--x-->{}", "/t<!--x-->mp/evil", "<?x y?>{}", "/tmp/<?x y?>evil"])
def test_a_comment_or_an_instruction_hides_no_path(hidden: str) -> None:
    xml = PLAIN.replace("<devices>", f"<devices><emulator>{hidden.format('/tmp/evil')}</emulator>")
    assert reading.emulator(xml) == "/tmp/evil"
    assert "path /tmp/evil" in foreign_in(xml)
    assert "x" not in [node.text for node in tree.parse(xml).iter(tree.etree.Comment)]


def test_a_comment_hides_no_part_of_a_name_or_a_number() -> None:
    known = reading.name(PLAIN)
    assert reading.name(PLAIN.replace(f"<name>{known}", f"<name>{known}<!--a-->-2")) == f"{known}-2"
    xml = PLAIN.replace("</vcpu>", "<!--a-->000</vcpu>")
    assert reading.vcpus(xml) == reading.vcpus(PLAIN) * 1000


@pytest.mark.parametrize(
    "xml",
    [
        PLAIN.replace("<devices>", "<devices><emulator><x/>/tmp/evil</emulator>"),
        PLAIN.replace("<devices>", "<devices>text"),
        with_device("<controller type='usb'/>text"),
        with_device("<disk xmlns:x='urn:x'><x:source file='/etc/shadow'/><target dev='vdz'/></disk>"),
        with_device("<disk xmlns:x='urn:x'><source x:file='/etc/shadow'/><target dev='vdz'/></disk>"),
        with_device(f"<x:emulator xmlns:x='{QEMU}'>/tmp/evil</x:emulator>"),
        beside(f"<q:commandline xmlns:q='{QEMU}'><q:arg q:value='-drive'/></q:commandline>"),
        PLAIN.replace("<domain", "<domain xmlns:x='urn:x' x:id='1'"),
        PLAIN.replace("<name>", "<name>other</name><name>"),
        PLAIN.replace("</domain>", "<devices/></domain>"),
        PLAIN.replace("<name>", "<name> "),
    ],
)
def test_what_libvirt_would_read_otherwise_is_refused(xml: str) -> None:
    with pytest.raises(DomainXmlError):
        reading.name(xml)


def test_what_others_keep_in_the_metadata_is_theirs() -> None:
    theirs = "<metadata><o:note xmlns:o='urn:o' o:by='me'>see <!-- c --> <o:b>this</o:b> again</o:note></metadata>"
    assert reading.name(beside(theirs)) == reading.name(PLAIN)


@pytest.mark.parametrize("name", ["protected-primary", "protected-secondary"])
def test_what_libvirt_writes_is_taken(name: str) -> None:
    domain = recorded(name).domain
    for xml in (domain.inactive_xml, domain.live_xml):
        assert tree.text(tree.parse(xml)) == tree.text(tree.parse(xml, own=True))
