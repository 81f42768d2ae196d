# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain import reading
from ansible_collections.lockstep.colo.plugins.module_utils.domain.described import described, read_anew
from ansible_collections.lockstep.colo.plugins.module_utils.observation.depth import Sights
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Domain, Image, Marker, Observation
from ansible_collections.lockstep.colo.plugins.module_utils.plan import describe
from ansible_collections.lockstep.colo.plugins.module_utils.plan.plan import Plan
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import wishes
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.problem import Refusal
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.hostile import (
    ELSEWHERE,
    HOSTS_NETWORK,
    with_nic_changed,
)
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import WANTED, dropping, recorded

RUNNING, EMPTY = recorded("unprotected-primary"), recorded("unprotected-secondary")
RUNNING = replace(RUNNING, marker=None)
DESCRIBED, STANDBY = dropping(recorded("described-primary")), dropping(recorded("described-secondary"))
NOTHING_STATED = Wanted(image_owner=WANTED.image_owner, image_group=WANTED.image_group, tls=WANTED.tls)
RUNNING_STANDBY = recorded("protected-secondary")
HOME = f"{WANTED.directory}/libvirt-{RUNNING.domain.uuid}"


def actions(plan: Plan) -> list[str]:
    return [step.action for step in plan.steps]


def primary(seen: Observation = RUNNING, peer: Observation = EMPTY, wanted: Wanted = WANTED) -> Plan:
    return describe.primary(wanted, seen, peer)


def secondary(seen: Observation = EMPTY, peer: Observation = DESCRIBED, wanted: Wanted = NOTHING_STATED) -> Plan:
    return describe.secondary(wanted, seen, peer)


def changed(seen: Observation, **domain: Any) -> Observation:
    return replace(seen, domain=replace(seen.domain, **domain))


def recording(seen: Observation, **record: Any) -> Observation:
    return changed(seen, record=replace(seen.record, **record))


# The primary


def test_a_primary_gets_its_directory_xml_live_record_and_marker() -> None:
    plan = primary()
    assert actions(plan) == ["make_directory", "define", "record", "mark"]
    record = plan.after.record
    assert (record.role, record.generation, record.complete) == ("primary", 1, None)
    assert (record.local.host, record.local.address) == ("kvm1", "10.77.0.1")
    assert (record.peer.host, record.peer.address) == ("kvm2", "10.77.0.2")
    assert [(disk.target, disk.format) for disk in record.disks] == [("vda", "qcow2"), ("vdb", "qcow2")]
    assert [disk.virtual_size for disk in record.disks] == [disk.virtual_size for disk in RUNNING.domain.disks]
    assert [nic.mac for nic in record.nics] == [nic.mac for nic in RUNNING.domain.nics]


def test_a_nic_that_comes_at_the_next_cold_start_is_not_in_the_record_of_a_pair() -> None:
    more = "<interface type='bridge'><mac address='52:54:00:ff:ff:01'/><source bridge='br0'/></interface></devices>"
    seen = dropping(recorded("protected-primary"))
    inactive = seen.domain.inactive_xml.replace("</devices>", more)
    seen = changed(seen, inactive_xml=inactive, **described(inactive, seen.domain.live_xml))
    seen = changed(seen, disks=recorded("protected-primary").domain.disks, foreign={}, unsupported=(), untried={})
    assert [one.what for one in seen.domain.otherwise] == ["NIC 52:54:00:ff:ff:01"]
    with pytest.raises(Refusal, match="the persistent domain, of which a standby is made, has NIC"):
        primary(seen, EMPTY)
    assert primary(seen, RUNNING_STANDBY).after.record.nics == seen.record.nics


def test_what_is_planned_for_a_primary_is_what_was_recorded_afterwards() -> None:
    after = primary().after
    assert after.record == DESCRIBED.record
    assert reading.canonical(after.domain.inactive_xml) == reading.canonical(DESCRIBED.domain.inactive_xml)
    assert after.marker == DESCRIBED.marker


@pytest.mark.parametrize("plan", [primary, secondary])
def test_what_should_follow_needs_nothing_more(plan: Callable[..., Plan]) -> None:
    assert plan(plan().after).steps == ()


def test_what_was_described_on_real_hosts_needs_nothing_more() -> None:
    assert primary(DESCRIBED, STANDBY).steps == ()
    assert secondary(STANDBY, DESCRIBED).steps == ()
    protected = dropping(recorded("protected-primary")), dropping(recorded("protected-secondary"))
    assert primary(*protected).steps == ()
    assert secondary(*reversed(protected)).steps == ()


def uplinks(plan: Plan) -> list[bool | None]:
    return [nic.uplink for nic in plan.after.record.nics]


def test_it_is_written_down_on_both_hosts_whether_the_guest_had_an_uplink_when_the_pair_was_formed() -> None:
    def confined(seen: Observation) -> Observation:
        return replace(seen, host=replace(seen.host, lans=tuple(replace(one, uplinks=()) for one in seen.host.lans)))

    assert uplinks(primary()) == [True, True]
    assert uplinks(secondary()) == [True, True]
    assert uplinks(primary(confined(RUNNING))) == [False, False]
    assert uplinks(primary(confined(DESCRIBED), STANDBY)) == [False, False], "nothing of it runs yet"
    protected = dropping(recorded("protected-primary")), dropping(recorded("protected-secondary"))
    assert primary(confined(protected[0]), protected[1]).steps == ()
    assert uplinks(primary(recorded("protected-primary"), recorded("protected-secondary"))) == [None, None]


def test_autostart_goes_off_and_is_remembered() -> None:
    plan = primary(changed(RUNNING, autostart=True))
    assert [step.arguments for step in plan.steps if step.action == "autostart"] == [{"on": False}]
    assert plan.after.record.autostart_before is True
    back = describe.plain("primary", plan.after, None)
    assert [step.arguments for step in back.steps if step.action == "autostart"] == [{"on": True}]


def test_a_live_record_that_differs_is_written_again_and_nothing_else() -> None:
    assert actions(primary(changed(DESCRIBED, live_record=None), STANDBY)) == ["record"]


def test_taking_it_back_gives_the_xml_from_before() -> None:
    plan = describe.plain("primary", DESCRIBED, None)
    define = next(step for step in plan.steps if step.action == "define")
    assert reading.canonical(define.arguments["xml"]) == reading.canonical(RUNNING.domain.inactive_xml)
    assert actions(plan) == ["define", "record", "remove_home"]
    assert describe.plain("primary", plan.after, None).steps == ()
    assert describe.plain("primary", EMPTY, None).steps == ()


@pytest.mark.parametrize("name", ["quorum-in-primary", "protected-primary"])
def test_a_primary_with_layers_under_its_disks_is_not_taken_back(name: str) -> None:
    with pytest.raises(Refusal, match=r"Run lockstep\.colo\.unprotect, which takes them out"):
        describe.plain("primary", recorded(name), None)


@pytest.mark.parametrize(
    ("seen", "peer", "wanted", "words"),
    [
        (EMPTY, RUNNING, WANTED, "there is no such domain on this host"),
        (RUNNING, replace(EMPTY, host=replace(EMPTY.host, machine_id=RUNNING.host.machine_id)), WANTED, "same machine"),
        (RUNNING, EMPTY, replace(WANTED, address="10.77.0.9"), "10.77.0.9 is not an address of kvm1"),
        (RUNNING, EMPTY, replace(WANTED, peer_address="10.77.0.1"), "10.77.0.1 is not an address of kvm2"),
        (RUNNING, EMPTY, replace(WANTED, disks=WANTED.disks[:1]), "disk vdb: the guest can write to it"),
        (
            recorded("protected-secondary"),
            recorded("protected-primary"),
            WANTED,
            "has the standby of this domain, not the guest",
        ),
        (DESCRIBED, recording(STANDBY, generation=2), WANTED, "kvm2 has a newer copy of this domain .generation 2."),
    ],
)
def test_what_cannot_be_a_primary_is_refused(seen: Observation, peer: Observation, wanted: Wanted, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        primary(seen, peer, wanted)


def test_a_copy_that_was_left_behind_by_a_failover_is_no_primary() -> None:
    stale = recorded("stale-primary")
    with pytest.raises(Refusal, match="newer copy"):
        primary(changed(stale, state="running"), recorded("failed-over-secondary"))


def test_the_block_of_ports_is_free_on_both_hosts_and_kept() -> None:
    first = primary().after.record.first_port
    busy = replace(EMPTY, host=replace(EMPTY.host, ports=(first + 3,)))
    assert primary(peer=busy).after.record.first_port == first + 16
    assert primary(DESCRIBED, replace(STANDBY, host=busy.host)).after.record.first_port == first
    with pytest.raises(Refusal, match=f"port {first + 3} is in use on kvm2"):
        primary(peer=busy, wanted=replace(WANTED, first_port=first))
    assert primary(wanted=replace(WANTED, first_port=first + 32)).after.record.first_port == first + 32


MOVED = [
    ({"first_port": 21648}, "first port cannot change from 21600 to 21648"),
    ({"address": "10.77.0.9"}, "address for replication cannot change from 10.77.0.1 to 10.77.0.9"),
    ({"peer_address": "10.77.0.9"}, "peer's address for replication cannot change from 10.77.0.2 to 10.77.0.9"),
]


@pytest.mark.parametrize(("change", "words"), MOVED)
def test_what_qemu_was_told_when_the_pair_came_up_cannot_change(change: dict[str, Any], words: str) -> None:
    seen, peer = (
        replace(one, host=replace(one.host, addresses=(*one.host.addresses, "10.77.0.9")))
        for one in (recorded("protected-primary"), recorded("protected-secondary"))
    )
    with pytest.raises(Refusal, match=words) as refusal:
        primary(seen, peer, replace(WANTED, **change))
    assert "unprotect" in refusal.value.problems[0].remedy
    down = replace(DESCRIBED, host=seen.host)
    assert primary(down, replace(STANDBY, host=replace(peer.host, ports=())), replace(WANTED, **change)).steps


def test_a_running_standby_keeps_its_images() -> None:
    """Else its XML would name files that it never wrote, and a file that is not ours would come to be the pair's."""
    peer = recorded("protected-primary")
    elsewhere = Wanted(disks=(replace(WANTED.disks[0], path="/other/vda.qcow2"), WANTED.disks[1]))
    with pytest.raises(Refusal, match=r"image .*/vda.qcow2 cannot become /other/vda.qcow2") as refusal:
        secondary(RUNNING_STANDBY, peer, elsewhere)
    assert [problem.disk for problem in refusal.value.problems] == ["vda"]
    with pytest.raises(Refusal, match=r"vda.active.qcow2 cannot become /srv/"):
        secondary(RUNNING_STANDBY, peer, Wanted(directory="/srv"))
    moved = replace(peer, domain=replace(peer.domain, record=replace(peer.record, first_port=21648)))
    with pytest.raises(Refusal, match="first port cannot change"):
        secondary(RUNNING_STANDBY, moved)


def test_a_primary_whose_qemu_does_not_answer_is_not_taken_back() -> None:
    silent = replace(recorded("protected-primary"), monitor=None, monitor_problem="QEMU did not answer")
    with pytest.raises(Refusal, match="monitor does not answer: QEMU did not answer"):
        describe.plain("primary", silent, None)


# The secondary


def test_a_standby_is_marked_before_its_images_are_made_and_defined_last() -> None:
    plan = secondary()
    assert actions(plan) == ["make_directory", "mark", *["create_image"] * 6, "define"]
    made = [step.arguments for step in plan.steps if step.action == "create_image"]
    sizes = {disk.virtual_size for disk in DESCRIBED.record.disks}
    assert {item["size"] for item in made} == sizes
    assert {item["path"].startswith(f"{HOME}/") for item in made} == {True}
    assert {(item["owner"], item["group"]) for item in made} == {("libvirt-qemu", "kvm")}
    mark = plan.steps[1].arguments["marker"]
    assert set(mark.paths) == {item["path"] for item in made}
    assert (mark.role, mark.generation) == ("secondary", 1)


def test_what_is_planned_for_a_standby_is_what_was_recorded_afterwards() -> None:
    after = secondary().after
    assert after.record == STANDBY.record
    assert after.marker == STANDBY.marker
    assert reading.has_incoming(after.domain.inactive_xml)
    assert after.domain.autostart is False


HERE_IT_IS = replace(NOTHING_STATED, address="10.77.0.2", peer_address="10.77.0.1")


@pytest.mark.parametrize(
    ("end", "change", "words"),
    [
        ("peer", {"address": "203.0.113.5"}, "203.0.113.5 as this host's address, not 10.77.0.2"),
        ("local", {"address": "10.77.0.66"}, "10.77.0.66 as its own address, not 10.77.0.1"),
        ("peer", {"host": "kvm3"}, "kvm3 as this host's name, not kvm2"),
        ("local", {"host": "kvm3"}, "kvm3 as its own name, not kvm1"),
    ],
)
def test_the_ends_of_a_pair_are_the_inventorys_whatever_the_primarys_host_says(
    end: str, change: dict[str, str], words: str
) -> None:
    assert secondary(wanted=HERE_IT_IS).steps
    lying = recording(DESCRIBED, **{end: replace(getattr(DESCRIBED.record, end), **change)})
    with pytest.raises(Refusal, match=words):
        secondary(peer=lying, wanted=HERE_IT_IS)


ANOTHER_NIC = "<interface type='ethernet'><mac address='52:54:00:4d:00:99'/><source>{}</source></interface></devices>"


@pytest.mark.parametrize("seen", [EMPTY, RUNNING_STANDBY], ids=["new", "running"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda xml: with_nic_changed(xml, "bridge"), "an address or a route of the host"),
        (lambda xml: with_nic_changed(xml, "ethernet"), "type ethernet.* is not on a bridge"),
        (lambda xml: xml.replace("</devices>", ANOTHER_NIC.format("")), "type ethernet.* is not on a bridge"),
        (lambda xml: xml.replace("</devices>", ANOTHER_NIC.format(HOSTS_NETWORK)), "an address or a route of the host"),
        (
            lambda xml: xml.replace("</os>", f"{ELSEWHERE[0]}</os>"),
            "type network: both hosts would write to the same one",
        ),
        (lambda xml: xml.replace("pc-i440fx", "pc-q35"), "aborts a COLO secondary of q35"),
    ],
    ids=["addressed", "on no bridge", "another", "another addressed", "NBD", "machine"],
)
def test_of_the_persistent_xml_all_is_asked_that_is_asked_of_the_guests(
    change: Callable[[str], str], words: str, seen: Observation
) -> None:
    """Of a standby that runs, what the persistent XML has otherwise than the guest is a note alone."""
    peer = DESCRIBED if seen is EMPTY else recorded("protected-primary")
    asked = read_anew(changed(peer, inactive_xml=change(peer.domain.inactive_xml)), peer.domain.name)
    assert asked.domain.nics == read_anew(peer, peer.domain.name).domain.nics
    with pytest.raises(Refusal) as refusal:
        secondary(seen, changed(asked, otherwise=()))
    assert re.search(words, str(refusal.value))


def test_the_ports_are_those_that_are_stated_and_no_other_pairs_whatever_the_primarys_host_says() -> None:
    moved = recording(DESCRIBED, first_port=21616)
    assert secondary(peer=moved, wanted=HERE_IT_IS).steps
    with pytest.raises(Refusal, match="21616 as the pair's first port, not 21600"):
        secondary(peer=moved, wanted=replace(HERE_IT_IS, first_port=21600))
    others = replace(STANDBY, host=replace(STANDBY.host, reserved=(21616,)))
    with pytest.raises(Refusal, match="ports 21616-21631 overlap those of another pair on kvm2"):
        secondary(others, moved, HERE_IT_IS)


def test_no_standby_is_made_of_a_domain_whose_passwords_stayed_behind() -> None:
    """Its display would be open to whoever reaches it. A dry run shows no password, and needs none."""
    redacted = changed(DESCRIBED, redacted=True)
    with pytest.raises(Refusal, match="peer came without them"):
        secondary(peer=redacted)
    assert secondary(peer=redacted, wanted=replace(NOTHING_STATED, dry=True)).steps


def test_a_stated_path_is_used_and_an_image_that_is_there_and_ours_is_kept() -> None:
    wanted = replace(NOTHING_STATED, disks=(replace(WANTED.disks[0], path="/other/vda.qcow2"), WANTED.disks[1]))
    made = [step.arguments["path"] for step in secondary(wanted=wanted).steps if step.action == "create_image"]
    assert "/other/vda.qcow2" in made
    one_there = replace(
        STANDBY, domain=None, images={made[1]: replace(next(iter(STANDBY.images.values())), path=made[1])}
    )
    again = [step.arguments["path"] for step in secondary(one_there).steps if step.action == "create_image"]
    assert made[1] not in again
    assert len(again) == 5


def disturbed(**image: Any) -> Observation:
    path = STANDBY.record.disks[0].path
    return replace(STANDBY, images={**STANDBY.images, path: replace(STANDBY.images[path], **image)})


PATH = STANDBY.record.disks[0].path
LOCKED = recorded("protected-primary")
OWN = STANDBY.record.disks[0]
SHARED = replace(
    DESCRIBED,
    domain=replace(
        DESCRIBED.domain,
        record=replace(
            DESCRIBED.record, disks=(replace(DESCRIBED.record.disks[0], path=PATH), DESCRIBED.record.disks[1])
        ),
    ),
    images={**DESCRIBED.images, PATH: STANDBY.images[PATH]},
)


@pytest.mark.parametrize(
    ("seen", "peer", "words"),
    [
        (replace(STANDBY, marker=None), DESCRIBED, f"{PATH} exists and is not ours"),
        (replace(STANDBY, marker=replace(STANDBY.marker, paths=())), DESCRIBED, "exists and is not ours"),
        (disturbed(virtual_size=4096), DESCRIBED, "is qcow2 of 4096 bytes"),
        (
            disturbed(format="raw", virtual_size=None),
            DESCRIBED,
            f"is raw of None bytes, and qcow2 of {OWN.virtual_size}",
        ),
        (disturbed(in_use=True), DESCRIBED, "is in use by another process"),
        (STANDBY, SHARED, "is the primary's very file, on shared storage"),
        (replace(STANDBY, marker=replace(STANDBY.marker, machine_id="other")), DESCRIBED, "written by another machine"),
        (
            replace(STANDBY, marker=replace(STANDBY.marker, role="alone", generation=1)),
            DESCRIBED,
            "generation 1, not older than the primary's",
        ),
        (changed(STANDBY, uuid="11111111-2222-3333-4444-555555555555"), DESCRIBED, "another domain of this name"),
        (changed(STANDBY, record=None), DESCRIBED, "has this domain already, and not from a pair"),
        (
            recording(recorded("protected-primary"), role="alone"),
            recording(DESCRIBED, generation=5),
            "Two guests must not run",
        ),
        (recording(STANDBY, generation=9), DESCRIBED, "has a newer copy of this domain .generation 9."),
        (STANDBY, RUNNING, "the peer is not the primary of a pair"),
        (STANDBY, recorded("failed-over-secondary"), "the peer is not the primary of a pair"),
        (STANDBY, EMPTY, "the peer is not the primary of a pair"),
    ],
)
def test_nothing_is_overwritten_that_is_not_provably_ours_and_older(
    seen: Observation, peer: Observation, words: str
) -> None:
    with pytest.raises(Refusal, match=words):
        secondary(seen, peer)


def test_overlays_are_looked_at_as_well() -> None:
    path = STANDBY.record.disks[1].hidden
    images = {**STANDBY.images, path: Image(path, True, "qcow2", 4096)}
    with pytest.raises(Refusal, match=r"disk vdb: .*hidden.qcow2 is qcow2 of 4096 bytes"):
        secondary(replace(STANDBY, images=images))


def test_a_copy_that_a_failover_left_behind_becomes_the_standby() -> None:
    stale, survivor = recorded("stale-primary"), recorded("described-again-primary")
    assert survivor.record.generation > stale.record.generation
    marker = replace(stale.marker, paths=tuple(disk.path for disk in stale.record.disks))
    plan = secondary(replace(stale, marker=marker), survivor)
    assert plan.after.record.role == "secondary"
    assert [disk.path for disk in plan.after.record.disks] == [disk.path for disk in stale.record.disks]
    assert "define" in actions(plan)
    assert recorded("described-again-secondary").record == plan.after.record


def test_what_was_complete_stays_so_only_in_its_generation() -> None:
    whole = recorded("protected-secondary")
    assert whole.record.complete == 1
    assert secondary(whole, recorded("protected-primary")).after.record.complete == 1
    newer = recording(recorded("protected-primary"), generation=2)
    assert secondary(whole, newer).after.record.complete is None


def test_images_to_look_at_are_those_that_will_be_made() -> None:
    made = {step.arguments["path"] for step in secondary().steps if step.action == "create_image"}
    assert {path for path, _format in wishes.sights(Wanted(), DESCRIBED).images} == made
    assert wishes.sights(Wanted(), EMPTY) == Sights()


def test_a_standby_goes_altogether_and_nothing_else_with_it() -> None:
    plan = describe.plain("secondary", STANDBY, None)
    assert actions(plan) == ["undefine", *["remove"] * 6, "remove_home"]
    assert plan.after.domain is None
    foreign = replace(STANDBY, marker=replace(STANDBY.marker, paths=STANDBY.marker.paths[:1]))
    assert actions(describe.plain("secondary", foreign, None)) == ["undefine", "remove", "remove_home"]
    unmarked = replace(STANDBY, marker=None)
    assert actions(describe.plain("secondary", unmarked, None)) == ["undefine"]
    with pytest.raises(Refusal, match="the secondary is running"):
        describe.plain("secondary", recorded("listening-secondary"), None)


def test_the_fixtures_are_what_they_are_taken_for() -> None:
    assert isinstance(STANDBY.marker, Marker)
    assert isinstance(RUNNING.domain, Domain)
    assert set(STANDBY.images) == {path for path, _format in wishes.sights(Wanted(), DESCRIBED).images}
