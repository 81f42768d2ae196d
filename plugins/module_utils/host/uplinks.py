# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ports of a bridge by which frames leave this host; what leads to a guest or a container of it is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ColoError
from .command import run

NETWORK = Path("/sys/class/net")
NOWHERE = ("dummy", "ifb")  # kinds of ip-link(8) with nothing behind them, made so that a bridge has a port
VETH = "veth"


def uplinks_of(bridge: str) -> tuple[str, ...]:
    """Those of a bridge; a port of which the kernel does not say what it is is taken for one."""
    ports = sorted(port.name for port in (NETWORK / bridge / "brif").glob("*"))
    no_taps = [port for port in ports if not (NETWORK / port / "tun_flags").exists()]
    known = _links(bridge) if no_taps else {}
    return tuple(port for port in no_taps if _leads_out(known.get(port, {})))


def _leads_out(link: Mapping[str, Any]) -> bool:
    kind = (link.get("linkinfo") or {}).get("info_kind")
    if kind != VETH:
        return kind not in NOWHERE
    other = link.get("link")  # the other end, where that is not in a namespace of its own
    return _in_container() or (other is not None and (NETWORK / other / "master").exists())


def _in_container() -> bool:
    """Whether this host is a container, with no hardware of its own: its way out is the end of a veth."""
    return not any(NETWORK.glob("*/device"))


def _links(bridge: str) -> dict[str, dict[str, Any]]:
    """What the kernel says of the ports of a bridge, by their names; nothing where it cannot be asked."""
    try:
        links = json.loads(run("ip", "-j", "-d", "link", "show", "master", bridge) or "[]")
        return {link["ifname"]: link for link in links if "ifname" in link}
    except (ColoError, ValueError):
        return {}
