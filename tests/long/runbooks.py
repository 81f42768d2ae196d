# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``kills`` has go wrong: the states of a pair, and the playbooks by which it goes from one to another.

A case is one step (or look) of one of them on one host. ``steps`` says of some how many are their own, where those
after them are another's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from colo_bed import Bed, Run

HERE, THERE = "here", "there"  # the host that has the guest when the playbook is called, and the other one
ORDINARY, PROTECTED, ALONE = "an ordinary domain", "a protected pair", "a survivor"
CLEAR = "a protected pair without TLS"
FRESH = "an ordinary domain that was never protected"
WITHOUT_STANDBY = "a primary whose standby has ended"  # it goes on, or was started again
STATES = (ORDINARY, PROTECTED, ALONE, CLEAR, FRESH, WITHOUT_STANDBY)
VIRSH = "virsh -q -c qemu:///system"
WORTH_IT = 2 << 20  # bytes of an image; of less nothing is compared

Places = dict[str, str]  # the names of the hosts by HERE and THERE
CHANGED = ("-e", "colo_resync=changed")


def nothing(_bed: Bed, _places: Places) -> None:
    pass


@dataclass(frozen=True)
class Runbook:
    """One playbook under test: the state it begins from and ends in, how it is called, and where it acts."""

    name: str
    needs: str
    leaves: str
    run: Callable[..., Run]
    hosts: tuple[str, ...]
    goal: str  # what its last run says
    guest: str = HERE  # where the guest is in the end
    lost: str | None = None  # the host that loses its power before the playbook is called
    befallen: Callable[[Bed, Places], None] = nothing  # what else has happened before
    frozen: bool = False  # the guest may not answer before a run comes through
    boots: bool = False  # it does so from its boot on
    on_vhost: bool = False  # its host says that the guest's packets go through the kernel's vhost
    steps: int | None = None  # how many are its own; None: all

    @property
    def silent(self) -> bool:
        """Whether clients may have no answer between its runs."""
        return self.frozen or self.lost is not None


def failover(lost: str) -> Callable[..., Run]:
    return lambda bed, places, **options: bed.failover(places[lost], "-e", f"colo_lost={places[lost]}", **options)


def playbook(name: str, *more: str, guest_on: str | None = None) -> Callable[..., Run]:
    def run(bed: Bed, places: Places, **options) -> Run:
        words = ("-e", f"colo_guest_host={places[guest_on]}") if guest_on else ()
        return bed.playbook(name, *more, *words, **options)

    return run


def deploy(*more: str) -> Callable[..., Run]:
    return playbook("deploy", "--limit", "web1", *more)


def drift(bed: Bed, places: Places) -> None:
    """Somebody changes by hand what deploy puts back, and nothing that a client would notice."""
    here, there = places[HERE], places[THERE]
    longer = {"path": "/objects/colo-net0-compare", "property": "compare_timeout", "value": 9000}
    delay = {"execute": "migrate-set-parameters", "arguments": {"x-checkpoint-delay": 9999}}
    bed.qmp(here, json.dumps({"execute": "qom-set", "arguments": longer}), json.dumps(delay))
    xml = bed.xml(there, "--inactive")
    edited = xml.replace("<title>a guest of the lab</title>", "<title>edited</title>")
    bed.ssh(there, f"{VIRSH} define /dev/stdin", stdin=edited)


def end_standby(bed: Bed, places: Places) -> None:
    bed.ssh(places[THERE], f"{VIRSH} destroy web1")


def lose_both(bed: Bed, _places: Places) -> None:
    for host in ("kvm1", "kvm2"):
        bed.power_off(host)
    bed.mend()


def power_itself_off(bed: Bed, places: Places) -> None:
    from colo_bed import wait_for

    bed.get("cgi-bin/poweroff")
    wait_for("the guest to be off", lambda: "shut off" in bed.ssh(places[HERE], f"{VIRSH} domstate web1"))


def write_enough(bed: Bed, places: Places) -> None:
    """Until comparing images is worth it: once for each new guest."""
    from colo_bed import wait_for

    path = " ".join(path.strip() for path in bed.images(places[HERE]).values())
    script = f"stat -c %b {path}"
    wait_for("enough to compare", lambda: 512 * min(map(int, bed.ssh(places[HERE], script).split())) > WORTH_IT, 240)


IS_PROTECTED = "is protected"
RUNBOOKS = [
    Runbook("protect", ORDINARY, PROTECTED, playbook("reprotect"), (THERE, HERE), IS_PROTECTED),
    Runbook("unprotect", PROTECTED, ORDINARY, playbook("unprotect", guest_on=HERE), (HERE, THERE), "ordinary domain"),
    Runbook("reprotect", ALONE, PROTECTED, playbook("reprotect"), (THERE, HERE), IS_PROTECTED),
    Runbook(
        "reprotect what differs", ALONE, PROTECTED, playbook("reprotect", *CHANGED), (THERE, HERE), IS_PROTECTED,
        befallen=write_enough,
    ),
    Runbook("failover to the secondary", PROTECTED, ALONE, failover(HERE), (THERE,), "is failed_over", THERE, HERE),
    Runbook("failover to the primary", PROTECTED, ALONE, failover(THERE), (HERE,), "is failed_over", HERE, THERE),
    Runbook(
        "switchover", PROTECTED, PROTECTED, playbook("switchover", guest_on=THERE), (HERE, THERE), IS_PROTECTED, THERE
    ),
    Runbook(
        "switchover with what was written", PROTECTED, PROTECTED, playbook("switchover", *CHANGED, guest_on=THERE),
        (HERE, THERE), IS_PROTECTED, THERE, befallen=write_enough,
    ),
    Runbook("drill", PROTECTED, PROTECTED, playbook("drill"), (THERE, HERE), "would have served"),
    Runbook("deploy after a drift", PROTECTED, PROTECTED, deploy(), (THERE, HERE), IS_PROTECTED, befallen=drift),
    Runbook(
        "deploy after a standby's end", PROTECTED, PROTECTED, deploy(), (THERE, HERE), IS_PROTECTED,
        befallen=end_standby, frozen=True,
    ),
    Runbook("deploy with TLS", CLEAR, PROTECTED, deploy("-e", "colo_tls_renew=true"), (THERE, HERE), IS_PROTECTED),
    Runbook(
        "deploy without vhost", FRESH, PROTECTED, deploy("-e", "colo_vhost=save_and_restore"), (HERE,), IS_PROTECTED,
        on_vhost=True, steps=4,
    ),
    Runbook(
        "start after both hosts were off", PROTECTED, WITHOUT_STANDBY, playbook("start"), (HERE,),
        "Start the domain on", befallen=lose_both, frozen=True, boots=True,
    ),
    Runbook(
        "start of a guest that went off", PROTECTED, WITHOUT_STANDBY, playbook("start"), (THERE, HERE),
        "Start the domain on", befallen=power_itself_off, frozen=True, boots=True,
    ),
]  # fmt: skip
