# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The packet proxy of one NIC: chardevs and net filters on each side (QEMU's docs/colo-proxy.txt).

    primary    guest -> mirror ------------------------------> secondary's guest
               guest's answers -> compare <------------------- secondary's answers
               what compares equal -> client
    secondary  rewriter: makes the sequence numbers of its TCP connections those of the primary's

colo-compare talks to the filters beside it over sockets of the same QEMU; they are unix sockets in the directory that
libvirt made for this domain's monitor, the one where AppArmor lets QEMU bind as well (our measurement).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..record.pair import IOTHREAD, Channel
from . import abilities, channels
from .graph import PREFIX

RECONNECT_SECONDS = 1  # a standby that waits for its primary
# In lockstep a connection that was closed stays so. What reads it would not read the next one: a filter since it was
# told (states.deaf), the comparison where it was closed within a packet (states.unanswered); and when the kernel's
# buffers are full the other QEMU waits in a write, and its guest with it. With nobody connected it drops the packets
# (our measurement: 10.0.13, 11.1.3). Not 0, with which QEMU's main loop waits for the first connection as well; the
# longest that it can count are 49 days (a guint of milliseconds).
NEVER_SECONDS = 40 * 24 * 3600
# QEMU's own defaults, said so that a change of them by hand is seen: a packet waits COMPARE_TIMEOUT ms for its twin,
# is looked for every EXPIRED_SCAN_CYCLE ms, and at most MAX_QUEUE_SIZE packets wait on each side.
COMPARE_SETTINGS = {"compare_timeout": 3000, "expired_scan_cycle": 3000, "max_queue_size": 1024}
FILTER_SETTINGS = {"status": "on"}
SETTINGS = {
    "authz-simple": {"identity": ""},
    "colo-compare": COMPARE_SETTINGS,
    "filter-mirror": FILTER_SETTINGS,
    "filter-redirector": FILTER_SETTINGS,
    "filter-rewriter": FILTER_SETTINGS,
}


@dataclass(frozen=True)
class Part:
    """A chardev or an object: what to add, and by which name to remove it."""

    name: str
    arguments: dict[str, Any]
    object: bool  # object-add; else chardev-add

    @property
    def what(self) -> str:
        """What it is and its name, in plain words."""
        return f"{self.arguments['qom-type'] if self.object else 'socket'} {self.name}"

    @property
    def early(self) -> bool:
        """Whether it is there before the guest's packets pass through the proxy: its sockets, and what they need."""
        return not self.object or self.name in channels.CREDENTIALS

    @property
    def connects(self) -> bool:
        """Whether it is a socket that connects with the other host."""
        backend = {} if self.object else self.arguments["backend"]["data"]
        return bool(backend) and not backend["server"] and backend["addr"]["type"] == "inet"

    @property
    def settings(self) -> dict[str, Any]:
        """What somebody could have changed of it since it was added, and must not have."""
        known = SETTINGS.get(self.arguments.get("qom-type", ""), {})
        return {key: self.arguments.get(key, value) for key, value in known.items()}


@dataclass(frozen=True)
class Proxy:
    """One NIC's proxy. ``vnet_hdr`` is true for virtio-net: without it nothing would be compared, silently.

    ``directory``: where the domain's QEMU may bind its sockets. ``options``: of a socket, that not every QEMU has.
    """

    alias: str
    model: str
    mirror: Channel
    compare: Channel
    directory: str
    options: tuple[str, ...] = ()

    @property
    def vnet_hdr(self) -> bool:
        """Whether the packets of this NIC have a virtio-net header before them."""
        return self.model.startswith("virtio")

    @property
    def netdev(self) -> str:
        """The id of QEMU's network backend of this NIC, as libvirt names it."""
        return f"host{self.alias}"

    @property
    def rewriter(self) -> str:
        """Not under the collection's prefix: it outlives a failover, for the connections whose numbers it shifts."""
        return f"rewriter-{self.alias}"

    def name(self, part: str) -> str:
        """The name in QEMU of one part, under the collection's prefix."""
        return f"{PREFIX}{self.alias}-{part}"

    def primary(self, after_failover: bool) -> list[Part]:
        """The parts of a primary's side, in the order to add them; they are removed in the reverse.

        ``after_failover``: the NIC still has the rewriter of the standby that this primary was.
        """
        before_rewriter = {"position": f"id={self.rewriter}", "insert": "before"} if after_failover else {}
        return [
            self._listener("mirror", self.mirror),
            self._listener("compare-in", self.compare),
            self._unix("loop-in", server=True),
            self._unix("loop-in-client", server=False, path="loop-in"),
            self._unix("loop-out", server=True),
            self._unix("loop-out-client", server=False, path="loop-out"),
            self._filter("f-mirror", "filter-mirror", queue="tx", outdev=self.name("mirror"), **before_rewriter),
            self._filter("f-out", "filter-redirector", queue="rx", indev=self.name("loop-out"), **before_rewriter),
            self._filter("f-in", "filter-redirector", queue="rx", outdev=self.name("loop-in"), **before_rewriter),
            Part(
                self.name("compare"),
                {
                    "qom-type": "colo-compare",
                    "id": self.name("compare"),
                    "primary_in": self.name("loop-in-client"),
                    "secondary_in": self.name("compare-in"),
                    "outdev": self.name("loop-out-client"),
                    "iothread": f"iothread{IOTHREAD}",
                    "vnet_hdr_support": self.vnet_hdr,
                    **COMPARE_SETTINGS,
                },
                object=True,
            ),
        ]

    def secondary(self, in_lockstep: bool) -> list[Part]:
        """The parts of a standby's side, in the order to add them.

        ``in_lockstep``: as they are from then on; before it their sockets connect whenever the primary comes to listen.
        """
        again = NEVER_SECONDS if in_lockstep else RECONNECT_SECONDS
        return [
            self._client("red-in", self.mirror, again),
            self._client("red-out", self.compare, again),
            self._filter("f-red-in", "filter-redirector", queue="tx", indev=self.name("red-in")),
            self._filter("f-red-out", "filter-redirector", queue="rx", outdev=self.name("red-out")),
            Part(
                self.rewriter,
                {
                    "qom-type": "filter-rewriter",
                    "id": self.rewriter,
                    "netdev": self.netdev,
                    "queue": "all",
                    "vnet_hdr_support": self.vnet_hdr,
                },
                object=True,
            ),
        ]

    def _filter(self, part: str, kind: str, **properties: Any) -> Part:
        arguments = {
            "qom-type": kind,
            "id": self.name(part),
            "netdev": self.netdev,
            "vnet_hdr_support": self.vnet_hdr,
            **properties,
        }
        return Part(self.name(part), arguments, object=True)

    def _listener(self, part: str, channel: Channel) -> Part:
        asked = channels.listening(channel)
        return self._socket(part, channels.socket(channel), server=True, wait=False, **asked)

    def _client(self, part: str, channel: Channel, again: int) -> Part:
        """``again``: seconds after which it is connected anew where nobody answers, or where it was closed."""
        options = {**abilities.reconnect(self.options, again), **channels.connecting(channel)}
        return self._socket(part, channels.socket(channel), server=False, **options)

    def _unix(self, part: str, *, server: bool, path: str | None = None) -> Part:
        address = {
            "type": "unix",
            "data": {"path": f"{self.directory}/{self.name(path or part)}"},
        }
        return self._socket(part, address, server=server, **({"wait": False} if server else {}))

    def _socket(self, part: str, address: dict[str, Any], **options: Any) -> Part:
        backend = {"type": "socket", "data": {"addr": address, **options}}
        return Part(self.name(part), {"id": self.name(part), "backend": backend}, object=False)
