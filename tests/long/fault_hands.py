# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands that strike: each fault of the matrix, done to a host from outside at once, and undone.

Nothing goes by ssh, which would come too late for a moment and not at all on a link that is cut.
"""

from __future__ import annotations

import json
import os
import signal

import fault_cells as matrix
import interpose
from colo_bed import DIRECTORY, OTHER, Bed
from fault_storage import Storage
from lockstep_lab import hosts
from lockstep_lab.common import run

FIRST_PORT = 21600  # of the only pair on these hosts
PORTS = dict(zip(matrix.CHANNELS, range(FIRST_PORT, FIRST_PORT + 4), strict=True))
LARGE = 1000  # bytes of a packet; what the kernel carries as one is as long as all that is in it


class Hands:
    """One fault at a time."""

    def __init__(self, bed: Bed, storage: Storage | None) -> None:
        self.bed = bed
        self.storage = storage
        self._undo: list = []

    def strike(self, fault: str, host: str) -> None:
        """Let a fault befall a host. It lasts until undo(), if it is one that lasts."""
        lab = self.bed.lab
        if fault == matrix.KILLED:
            self._kill(host, "qemu-system")
        elif fault == matrix.LIBVIRTD:
            self._kill(host, "libvirtd")
        elif fault == matrix.OFF:
            hosts.power_off(lab, host)
        elif fault == matrix.REBOOT:
            hosts.power_off(lab, host)
            hosts.power_on(lab, host)
        elif fault == matrix.BOTH_OFF:
            for one in (host, OTHER[host]):
                hosts.power_off(lab, one)
        elif fault == matrix.FROZEN:
            hosts.set_frozen(lab, host, True)
            self._undo.append(lambda: hosts.running(lab, host) and hosts.set_frozen(lab, host, False))
        elif fault == matrix.CUT:
            hosts.set_cut(lab, host, True)
            self._undo.append(lambda: hosts.running(lab, host) and hosts.set_cut(lab, host, False))
        elif fault in matrix.RESETS:
            self._reset(host, PORTS[matrix.RESETS[fault]])
        elif fault in matrix.ON_LINK:
            self._drop(*self._rules(fault, host))
        elif fault in matrix.ON_DISK:
            self._spoil(fault, host)
        else:
            raise ValueError(f"no hands for {fault}")

    def silence(self, host: str) -> None:
        """A host whose processes stand still, and whose kernel answers nobody: it looks like one without power."""
        self.strike(matrix.CUT, host)
        self.strike(matrix.FROZEN, host)

    def undo(self) -> None:
        """What lasted lasts no longer: the link mended, the disk has room, the host goes on. Power stays off."""
        while self._undo:
            self._undo.pop()()

    def _kill(self, host: str, program: str) -> None:
        found = hosts.processes(self.bed.lab, host, program)
        assert found, f"{host} has no {program} to be killed"
        for process in found:
            os.kill(process, signal.SIGKILL)

    def _reset(self, host: str, port: int) -> None:
        """Both ends are told: the kernel sends a reset to the other one."""
        words = ["ip", "netns", "exec", self.bed.lab.host_ns(host), "ss", "-HKtn", "state", "established"]
        killed = run([*words, f"( sport = :{port} or dport = :{port} )"]).stdout
        assert killed.strip(), f"{host} has no connection on port {port}"

    def _rules(self, fault: str, host: str) -> list[str]:
        """Of the LAN's bridge, so that no host can see that there are any."""
        if fault in matrix.BLOCKS:
            port = PORTS[matrix.BLOCKS[fault]]
            return [f"tcp dport {port} drop", f"tcp sport {port} drop"]
        if fault == matrix.LARGE:
            return [f'iifname "{host}" meta length > {LARGE} drop']
        return [f'{"oifname" if fault == matrix.DEAF else "iifname"} "{host}" drop']

    def _drop(self, *rules: str) -> None:
        nft = ["ip", "netns", "exec", self.bed.lab.lan_ns, "nft"]
        lines = ["add table bridge lab", "add chain bridge lab f { type filter hook forward priority 0; }"]
        run([*nft, "; ".join([*lines, *(f"add rule bridge lab f {rule}" for rule in rules)])])
        self._undo.append(lambda: run([*nft, "delete table bridge lab"]))

    def _spoil(self, fault: str, host: str) -> None:
        storage = self.storage
        assert storage, "this run has no file systems that can fail"
        place = DIRECTORY if fault in (matrix.OVERLAY, matrix.DIRECTORY) else storage.place_of(host)
        if fault == matrix.EIO:
            storage.fail(host, place)
            self._undo.append(lambda: storage.heal(host, place))
        else:
            storage.fill(host, place)
            self._undo.append(lambda: storage.clear(host, place))


class Steps:
    """The steps that the modules on a host have carried out, counted as tests/long/kills does, without a kill."""

    PLENTY = 1_000_000

    def __init__(self, bed: Bed, host: str) -> None:
        self._bed, self._host = bed, host
        self.variables = interpose.arm(bed, host, self.PLENTY)

    def done(self) -> int:
        left = interpose.left(self._bed, self._host)
        return 0 if left is None else self.PLENTY - left


def allocated(bed: Bed, host: str) -> int:
    """Bytes of the guest's first disk that are there to be copied."""
    path = next(iter(bed.images(host).values())).strip()
    said = bed.ssh(host, f"qemu-img info -U --output=json {path}")
    return int(json.loads(said)["actual-size"])
