# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.lockstep.colo.plugins.module_utils.domain import reading
from ansible_collections.lockstep.colo.plugins.module_utils.domain.trial import SUFFIX, trial_of
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import FIXTURES

UUID = "11111111-2222-3333-4444-555555555555"


def live(name: str) -> str:
    return (FIXTURES / "domains" / f"{name}.live.xml").read_text(encoding="utf-8")


def test_a_trial_is_another_domain_without_the_disks_that_the_guest_writes_to() -> None:
    xml = live("rich")
    like = trial_of(xml, "web1-trial", UUID)
    assert (reading.name(like.xml), reading.uuid(like.xml)) == ("web1-trial", UUID)
    assert all(disk.readonly or disk.device != "disk" for disk in reading.disks(like.xml))
    assert [disk.target for disk in reading.disks(xml) if not disk.readonly and disk.device == "disk"]
    assert [nic.mac for nic in reading.nics(like.xml)] == [nic.mac for nic in reading.nics(xml)]
    assert reading.machine(like.xml) == reading.machine(xml)
    assert not reading.has_incoming(like.xml)


def test_it_writes_to_no_file_of_another() -> None:
    xml = (
        live("plain-running")
        .replace(
            "</devices>",
            "<serial type='file'><source path='/var/log/a.log'/><log file='/var/log/b.log'/></serial>"
            "<channel type='unix'><source mode='bind' path='/run/c.sock'/></channel>"
            "<channel type='unix'><source mode='connect' path='/run/d.sock'/></channel></devices>",
        )
        .replace("</os>", "<nvram>/var/lib/libvirt/qemu/nvram/web1_VARS.fd</nvram></os>")
    )
    like = trial_of(xml, "web1-trial", UUID)
    own = {"/var/log/a.log", "/var/log/b.log", "/run/c.sock", "/var/lib/libvirt/qemu/nvram/web1_VARS.fd"}
    assert {f"{path}{SUFFIX}" for path in own} <= set(like.files)
    assert all(f"{path}<" not in like.xml and f'{path}"' not in like.xml for path in own)
    assert 'path="/run/d.sock"' in like.xml


def test_a_variable_store_that_is_stated_as_a_source_is_another_one_too() -> None:
    store = "/var/lib/libvirt/qemu/nvram/web1_VARS.qcow2"
    xml = live("plain-running").replace(
        "</os>", f"<nvram type='file' format='qcow2'><source file='{store}'/></nvram></os>"
    )
    like = trial_of(xml, "web1-trial", UUID)
    assert like.files == (f"{store}{SUFFIX}",)
    assert reading.nvram_file(like.xml) == f"{store}{SUFFIX}"


def test_the_uuid_in_the_firmwares_tables_is_the_trials() -> None:
    table = "<sysinfo type='smbios'><system><entry name='uuid'>22222222-2222-3333-4444-555555555555</entry></system>"
    xml = live("plain-running").replace("</os>", f"</os>{table}</sysinfo>")
    assert "22222222-2222" not in trial_of(xml, "web1-trial", UUID).xml
