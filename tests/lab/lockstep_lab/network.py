# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's network: a LAN namespace with a bridge, one namespace for each container, one for the client.

    client ns            LAN ns                 host ns (kvm1, kvm2)
    lan0 10.77.0.100 --- client |            |
         fd77::100              | br0 (LAN)  | kvm1 --- lan0 - br0 10.77.0.1 - taps of the guests
                                |            | kvm2 --- lan0 - br0 10.77.0.2 - taps of the guests

Nothing of it is in the root namespace, and no route leads out. A host that is a VM instance has no namespace; its link
on the LAN is the tap of its QEMU.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from .common import ADDRESSES, CLIENT_ADDRESS, CLIENT_ADDRESS_2, CLIENT_ADDRESS_6, SOURCE, Lab, LabError, run

_BRIDGE = ["type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"]


def namespaces() -> set[str]:
    """Names of the network namespaces that `ip netns` knows."""
    directory = Path("/run/netns")
    return {entry.name for entry in directory.iterdir()} if directory.exists() else set()


def _ip(namespace: str, *words: str, check: bool = True) -> int:
    return run(["ip", "-n", namespace, *words], check=check).returncode


def _add_namespace(name: str) -> None:
    run(["ip", "netns", "add", name])
    _ip(name, "link", "set", "lo", "up")


def _sysctl(namespace: str, **values: int) -> None:
    script = "; ".join(f"echo {value} > /proc/sys/{key.replace('__', '/')}" for key, value in values.items())
    run(["ip", "netns", "exec", namespace, "sh", "-c", script])


def make_lan(lab: Lab) -> None:
    """The LAN's bridge and the client, when they are not there yet."""
    there = namespaces()
    if lab.lan_ns not in there:
        _add_namespace(lab.lan_ns)
        _sysctl(lab.lan_ns, net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)
        _ip(lab.lan_ns, "link", "add", "br0", *_BRIDGE)
        _ip(lab.lan_ns, "link", "set", "br0", "up")
    if lab.client_ns not in there:
        _add_namespace(lab.client_ns)
        _ip(lab.lan_ns, "link", "add", "client", "type", "veth", "peer", "name", "lan0", "netns", lab.client_ns)
        _ip(lab.lan_ns, "link", "set", "client", "master", "br0", "up")
        for address in (CLIENT_ADDRESS, CLIENT_ADDRESS_2):
            _ip(lab.client_ns, "address", "add", f"{address}/24", "dev", "lan0")
        _ip(lab.client_ns, "address", "add", f"{CLIENT_ADDRESS_6}/64", "dev", "lan0", "nodad")
        _ip(lab.client_ns, "link", "set", "lan0", "up")


def make_host(lab: Lab, host: str) -> None:
    """A fresh namespace for a host that is about to boot, joined to the LAN."""
    namespace = lab.host_ns(host)
    if namespace in namespaces():
        remove_host(lab, host)
    _add_namespace(namespace)
    _ip(lab.lan_ns, "link", "add", host, "type", "veth", "peer", "name", "lan0", "netns", namespace)
    _ip(namespace, "link", "add", "br0", *_BRIDGE)
    _ip(namespace, "link", "set", "br0", "address", bridge_address(host))
    _ip(namespace, "link", "set", "lan0", "master", "br0", "up")
    _ip(namespace, "address", "add", f"{ADDRESSES[host]}/24", "dev", "br0")
    _ip(namespace, "link", "set", "br0", "up")
    mend(lab, host)


def make_tap(lab: Lab, host: str) -> None:
    """A tap for an instance that is about to boot, on the LAN in the place of a container's link."""
    remove_host(lab, host)
    _ip(lab.lan_ns, "tuntap", "add", "dev", host, "mode", "tap")
    mend(lab, host)


def bridge_address(host: str) -> str:
    """The MAC address of a host's br0: with one of its own the bridge keeps it when taps join."""
    return f"52:54:77:00:00:{int(ADDRESSES[host].rsplit('.', 1)[1]):02x}"


def remove_host(lab: Lab, host: str) -> None:
    """Remove a host's end of the LAN and its namespace, with whatever its sockets still wanted to send."""
    if lab.lan_ns in namespaces():
        _ip(lab.lan_ns, "link", "delete", host, check=False)
    if lab.host_ns(host) in namespaces():
        run(["ip", "netns", "delete", lab.host_ns(host)])


def cut(lab: Lab, host: str, *, carrier: bool = False) -> None:
    """Separate a host from the LAN in silence. The host's own link stays up, unless `carrier` takes it down as well."""
    _ip(lab.lan_ns, "link", "set", host, "nomaster")
    if carrier:
        _ip(lab.lan_ns, "link", "set", host, "down")


def mend(lab: Lab, host: str) -> None:
    """Join a host to the LAN (again)."""
    _ip(lab.lan_ns, "link", "set", host, "up")
    _ip(lab.lan_ns, "link", "set", host, "master", "br0")


def joined(lab: Lab, host: str) -> bool:
    """Whether a host is joined to the LAN."""
    if lab.lan_ns not in namespaces():
        return False
    shown = run(["ip", "-n", lab.lan_ns, "link", "show", host], check=False).stdout
    return "master br0" in shown and "UP" in shown


def remove_all(lab: Lab) -> None:
    """Remove every namespace of the lab."""
    for host in ADDRESSES:
        remove_host(lab, host)
    for namespace in (lab.client_ns, lab.lan_ns):
        if namespace in namespaces():
            run(["ip", "netns", "delete", namespace])


def client_command(lab: Lab, words: Sequence[str]) -> list[str]:
    """The words that run clientside.py in the client's namespace; it needs PYTHONPATH set to SOURCE."""
    if lab.client_ns not in namespaces():
        raise LabError(f"the lab {lab.name} is not up; run `lab up`")
    return ["ip", "netns", "exec", lab.client_ns, sys.executable, "-B", "-m", "lockstep_lab.clientside", *words]


def inside(lab: Lab, words: Sequence[str], *, timeout: float) -> str:
    """Run a piece of clientside.py as the client and return what it prints."""
    return run(client_command(lab, words), timeout=timeout, env={"PYTHONPATH": str(SOURCE)}).stdout
