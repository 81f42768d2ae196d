# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a pair's channels are encrypted, and the certificates by which its two hosts know each other. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...lockstep import abilities, states
from ...observation.seen import Host, Observation
from ...record import identity
from ...record.pair import OFF, REQUIRED, TLS
from ...record.wanted import Wanted
from .. import shown
from ..problem import Problem
from .row import WRONG, Requirement, Row, problems

IN_CLEAR = "replication is neither encrypted nor authenticated: whoever is in its network reads and writes the guest"
PROXY_IN_CLEAR = (
    "what the guest says and hears goes over the replication network in clear, and whoever is in it may inject answers "
    "of the standby; its memory and disks are encrypted"
)
RENEW = "Deploy with -e colo_tls_renew=true forms the pair anew: a full copy, in which the guest is unprotected"


@dataclass(frozen=True)
class Encryption:
    """``in_clear``: the pair is up with less TLS than is wanted. ``besides``: why it cannot be formed anew."""

    in_clear: bool
    besides: tuple[Problem, ...]


def of_pair(wanted: Wanted, holder: Observation, standby: Observation | None, rows: list[Requirement]) -> Encryption:
    """Whether the pair that is up has less TLS than is wanted, and what keeps it from being formed anew with more.

    ``rows``: all requirements of the pair as they stand; those that are not met keep it from that as well.
    """
    if standby is None or not _is_kept(holder, standby) or TLS.index(holder.record.tls) <= TLS.index(wanted.tls):
        return Encryption(False, ())
    here, there = holder.host, standby.host
    rows = [
        *rows,
        *withholding(wanted.tls, holder, standby),
        *same_authority(here, there, needed=True),
        *certificate(here, holder.record.local.address, needed=True),
        *certificate(there, holder.record.peer.address, needed=True),
    ]
    return Encryption(True, tuple(problems(row for row in rows if row.state == WRONG)))


def chosen(wanted: Wanted, holder: Observation, standby: Observation) -> str:
    """Which channels have TLS, or will: with a standby it stays as it was formed, since QEMU cannot be told anew."""
    return holder.record.tls if _is_kept(holder, standby) else wanted.tls


def encryption(wanted: Wanted, holder: Observation, standby: Observation) -> list[Requirement]:
    """TLS on every channel; a note where that is not so by choice, or by an earlier one."""
    row, tls = Row("encryption", None, "TLS on every channel"), chosen(wanted, holder, standby)
    if tls != REQUIRED:
        clear, formed = (IN_CLEAR if tls == OFF else PROXY_IN_CLEAR), TLS.index(tls) > TLS.index(wanted.tls)
        whose = f"the pair was formed with colo_tls {tls}" if formed else f"colo_tls is {tls}"
        row.note(f"{whose}: {clear}", RENEW if formed else "Let nobody else into that network")
    if _is_kept(holder, standby):
        return row.found("TLS")
    return withholding(tls, holder, standby) or row.found("TLS")


def withholding(tls: str, holder: Observation, standby: Observation) -> list[Requirement]:
    """The row ``encryption``, wrong, where a host's QEMU withholds what came encrypted; no row where none does.

    Without TLS on every channel (``tls``) it does no harm, and there is no row either.
    """
    row = Row("encryption", None, "TLS on every channel")
    for seen in (holder, standby) if tls == REQUIRED else ():
        if abilities.withholds_encrypted(abilities.running(seen)):
            row.wrong(
                f"QEMU {abilities.running(seen)} of {seen.host.name} withholds large packets that came over an "
                "encrypted channel until others follow: clients would wait for seconds",
                "Use QEMU 8.0 or later, as Debian 13 has; or set colo_tls to except_proxy, with which memory and disks "
                "are encrypted, and packets are not",
            )
    return row.rows


def needed(wanted: Wanted, holder: Observation, standby: Observation) -> bool:
    """Whether any channel has credentials, or will."""
    return chosen(wanted, holder, standby) != OFF


def keeps_apart(holder: Observation, standby: Observation, *, needed: bool) -> list[Problem]:
    """Why a pair that is taken apart could not be formed again, for the certificates of its hosts as they are now.

    What is connected goes on with those that it was formed with, so that nothing else tells of it before.
    """
    record, here, there = holder.record, holder.host, standby.host
    rows = [
        *certificate(here, record.local.address, needed=needed),
        *certificate(there, record.peer.address, needed=needed),
        *same_authority(here, there, needed=needed),
    ]
    return list(problems(rows))


def _is_kept(holder: Observation, standby: Observation) -> bool:
    """Whether something of the pair is in the guest's QEMU that is not begun anew: it has a standby, or had one.

    What a run has left there that was cut off before is taken out, with whatever TLS it was.
    """
    if holder.record is None or not states.is_up(holder):
        return False
    copied = holder.monitor.migration.status == "colo" or shown.under_way(holder)
    return copied or (standby.domain is not None and standby.domain.active)


def certificate(host: Host, address: str | None, *, needed: bool, dry: bool = False) -> list[Requirement]:
    """A certificate with which this host can be one end of encrypted channels, where they are ``needed``.

    ``dry``: the role pki, which makes it, comes first in a real run, so that it is no reason to refuse.
    """
    if not needed:
        return []
    row = Row("certificate", host, f"one of {identity.subject(host.name)} for {address or 'its address'}")
    for words in faults(host, address) if host.certificate else ():
        (row.note if dry else row.wrong)(
            f"{host.name} {words}",
            "Run deploy with the KVM hosts in its limit, whose role pki makes and renews certificates; or set colo_tls "
            "to off, which leaves replication open to whoever is in its network",
        )
    return row.found(host.certificate and host.certificate.subject)


def faults(host: Host, address: str | None) -> Iterator[str]:
    """Why a peer would refuse this host, in words that follow its name."""
    known, wanted = host.certificate, identity.subject(host.name)
    if known.problem:
        yield f"has no certificate: {known.problem}"
        return
    for subject in {known.subject, known.client} - {wanted}:
        yield f"has a certificate of {subject}, not of {wanted}"
    if address and address not in known.addresses:
        yield f"has a certificate for {', '.join(known.addresses) or 'no address'}, not for {address}"
    if host.clock is not None and not known.begins <= host.clock <= known.ends:
        yield f"has a certificate that {'has ended' if host.clock > known.ends else 'does not begin yet'}"


def same_authority(here: Host, there: Host, *, needed: bool) -> list[Requirement]:
    """Each takes the other's certificate only from the authority that it knows itself."""
    row, known = Row("certificate authority", None, "the same on both hosts"), (here.certificate, there.certificate)
    if not needed or None in known or any(one.problem for one in known):
        return []
    if not all(one.authority in (other.authority, *other.authorities) for one, other in (known, known[::-1])):
        row.wrong(
            f"the certificates of {here.name} and {there.name} are of different authorities",
            "Run deploy for both hosts with the same colo_ca_directory on the control node",
        )
    return row.found("the same")
