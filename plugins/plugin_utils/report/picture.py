# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pair as SVG: two hosts with what is on them, and the channels between. Pure.

``wide`` has the hosts side by side, each disk and NIC beside its twin, and each channel at the height of what it
serves. ``narrow`` is the same for a telephone: one host below the other, with the channels between.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.verdict.fence import CONFIRMED

from . import ink, parts, words
from .ink import Panel
from .markup import Markup, join, tag

HEAD, PAD, SPACE, GUTTER = 58, 12, 12, 220
MIN_INNER = 376
LOST = 300  # height of a host of which nothing is known, where the other does not say how high
NIC_WITH_CHANNELS = 108
BAND_ROW = 34
DRAWN = 32  # disks, and NICs, at most
ROWS = {"migration": "guest", "nbd": "disks"}  # what a channel serves; the others serve their NIC
WORDS = {"connected": "connected", "closed": "not connected"}
WHY_NOT_SEEN = {
    "unreachable": "could not be reached",
    "not_observed": "could not be observed",
    "not_asked": "was not asked",
}


def wide(side: dict[str, Any], label: str, fence: dict[str, Any] | None = None) -> Markup:
    """Both hosts side by side."""
    names = _two(side)
    inner = _inner(side)
    width = inner + 2 * PAD
    columns = [_panels(side, name, inner) for name in names]
    rows = _row_heights(columns) or {"guest": LOST}
    tops = _tops(rows)
    height = tops["end"] - SPACE + PAD
    lefts = (0.5, width + GUTTER + 0.5)
    hosts = [
        _host(side, name, panels, tops, rows, width, height, fence) for name, panels in zip(names, columns, strict=True)
    ]
    gutter = _gutter(side, names, tops, rows, lefts[0] + width, lefts[1])
    drawing = join(*(ink.at(left, 0.5, one) for left, one in zip(lefts, hosts, strict=True)), gutter)
    return _svg(drawing, 2 * width + GUTTER + 1, height + 1, label, "wide")


def narrow(side: dict[str, Any], label: str, fence: dict[str, Any] | None = None) -> Markup:
    """One host below the other."""
    names = _two(side)
    inner = _inner(side)
    width = inner + 2 * PAD
    drawn, top = [], 0.5
    for number, name in enumerate(names):
        panels = _panels(side, name, inner)
        rows = _row_heights([panels]) or {"guest": LOST / 2}
        tops = _tops(rows)
        height = tops["end"] - SPACE + PAD
        drawn.append(ink.at(0.5, top, _host(side, name, panels, tops, rows, width, height, fence)))
        top += height
        if not number:
            band = _band(side, names, width)
            drawn.append(ink.at(0.5, top, band.ink))
            top += band.height
    return _svg(join(*drawn), width + 1, top + 0.5, label, "narrow")


def _svg(drawing: Markup, width: float, height: float, label: str, class_: str) -> Markup:
    return tag(
        "svg",
        drawing,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        class_=f"picture {class_}",
        role="img",
        aria_label=label,
        style=f"max-width:{width:.0f}px",
    )


# Rows: the guest, then the disks, then the NICs, of both hosts


def _two(side: dict[str, Any]) -> list[str | None]:
    """Both hosts' names; None for one that nobody named."""
    return [*side["hosts"], None, None][:2]


def _seen(side: dict[str, Any], name: str | None) -> dict[str, Any] | None:
    return side["hosts"][name]["observation"] if name is not None else None


def _domains(side: dict[str, Any]) -> list[dict[str, Any]]:
    seen = [_seen(side, name) for name in side["hosts"]]
    return [one["domain"] for one in seen if one and one["domain"]]


def _targets(side: dict[str, Any]) -> list[str]:
    return _every_target(side)[:DRAWN]


def _every_target(side: dict[str, Any]) -> list[str]:
    """Every replicated disk, or where no record says which they are, every disk."""
    recorded = [disk["target"] for domain in _domains(side) if domain["record"] for disk in domain["record"]["disks"]]
    everything = [disk["target"] for domain in _domains(side) for disk in domain["disks"]]
    return list(dict.fromkeys(recorded or everything))


def left_out(side: dict[str, Any]) -> bool:
    """Whether there are disks or NICs that are not drawn."""
    return max(len(_every_target(side)), len(_every_mac(side))) > DRAWN


def _macs(side: dict[str, Any]) -> list[str]:
    return _every_mac(side)[:DRAWN]


def _every_mac(side: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(nic["mac"] for domain in _domains(side) for nic in domain["nics"]))


def _inner(side: dict[str, Any]) -> float:
    seen = [one for one in (_seen(side, name) for name in side["hosts"]) if one]
    columns = [parts.disk_graph(one, target).columns for one in seen for target in _targets(side)]
    return max([MIN_INNER, *(parts.inner_width(number) for number in columns)])


def _panels(side: dict[str, Any], name: str | None, inner: float) -> dict[str, Panel]:
    """What is on a host, by row; nothing where it was not observed. A host without the domain has only its guest."""
    observation = _seen(side, name)
    if observation is None:
        return {}
    panels = {"guest": parts.guest(side["hosts"][name], (side["verdict"] or {}).get("phase"), inner)}
    if observation["domain"]:
        served = {channel["nic"] for channel in side["channels"]}
        for target in _targets(side):
            panels[f"disk {target}"] = parts.disk(observation, target, inner)
        for mac in _macs(side):
            panels[f"nic {mac}"] = parts.nic(observation, mac, inner, NIC_WITH_CHANNELS if mac in served else 0)
    return panels


def _row_heights(columns: list[dict[str, Panel]]) -> dict[str, float]:
    rows: dict[str, float] = {}
    for panels in columns:
        for row, panel in panels.items():
            rows[row] = max(rows.get(row, 0), panel.height)
    return rows


def _tops(rows: dict[str, float]) -> dict[str, float]:
    tops, top = {}, float(HEAD)
    for row, height in rows.items():
        tops[row] = top
        top += height + SPACE
    return {**tops, "end": top}


def _host(
    side: dict[str, Any],
    name: str | None,
    panels: dict[str, Panel],
    tops: dict[str, float],
    rows: dict[str, float],
    width: float,
    height: float,
    fence: dict[str, Any] | None,
) -> Markup:
    shown = "the other host" if name is None else name
    if not panels:
        return _unseen(shown, side["hosts"].get(name), width, height, fence)
    return join(
        ink.box(0, 0, width, height, "host", radius=10),
        parts.head(shown, _seen(side, name), width, HEAD),
        *(
            ink.at(PAD, tops[row], ink.box(0, 0, width - 2 * PAD, height_of, "panel"), panels[row].ink)
            for row, height_of in rows.items()
            if row in panels
        ),
    )


def _unseen(
    name: str, host: dict[str, Any] | None, width: float, height: float, fence: dict[str, Any] | None
) -> Markup:
    why = WHY_NOT_SEEN[host["state"] if host else "not_asked"]
    known = "nothing is known of it"
    if fence is not None and fence["host"] == name:
        confirmed = "without power, says a person" if fence["ground"] == CONFIRMED else known
        known = "fenced, and that was verified" if fence["verified"] else confirmed
    lost = " unreachable" if host and host["state"] == "unreachable" else ""
    middle = max(HEAD + 40, height / 2)
    stripes = [
        ink.line([(max(0, start - height), min(height, start)), (min(width, start), max(0, start - width))], "stripe")
        for start in range(24, int(width + height), 24)
    ]
    return join(
        ink.box(0, 0, width, height, f"host unseen{lost}", radius=10),
        stripes if lost else None,
        ink.box(width / 2 - 118, middle - 34, 236, 62, f"note{lost}", radius=8),
        parts.head(name, None, width, HEAD),
        ink.text(width / 2, middle - 9, why, "strong", size=13, room=220, anchor="middle"),
        ink.text(width / 2, middle + 12, known, "muted", size=11, room=220, anchor="middle"),
    )


# Channels


def _gutter(
    side: dict[str, Any],
    names: list[str | None],
    tops: dict[str, float],
    rows: dict[str, float],
    left: float,
    right: float,
) -> Markup:
    if not side["channels"]:
        level = tops["guest"] + min(rows["guest"], 58) / 2
        return _centred((left + right) / 2, level + 4, _no_channels(side), "muted", 11)
    drawn, middle = [], (left + right) / 2
    for channel, level in _levels(side["channels"], tops, rows):
        if channel["kind"] == "nbd":
            drawn += _brace(tops, rows, left, right)
        clear, look = 11 if channel["kind"] == "nbd" else 4, _look(side, channel)
        ends = [(left + clear, level), (right - clear, level)]
        title = f"{channel['kind']} :{channel['port']}"
        drawn += [
            ink.arrow(ends if _leads_right(side, names, channel) else ends[::-1], f"channel {look}"),
            _centred(middle, level - 8, title, "strong", 11),
            _centred(middle, level + 15, _state(side, channel), f"channel-text {look}", 10),
        ]
    return join(*drawn)


def _centred(x: float, y: float, words_: str, class_: str, size: float) -> Markup:
    return ink.text(x, y, words_, class_, size=size, room=GUTTER - 12, anchor="middle")


def _brace(tops: dict[str, float], rows: dict[str, float], left: float, right: float) -> list[Markup]:
    """What shows that one channel serves all the disks."""
    disks = [row for row in rows if row.startswith("disk ")]
    if not disks:
        return []
    top, bottom = tops[disks[0]] + 6, tops[disks[-1]] + rows[disks[-1]] - 6
    return [
        ink.line([(end + out, top), (end + 2 * out, top), (end + 2 * out, bottom), (end + out, bottom)], "brace")
        for end, out in ((left, 5), (right, -5))
    ]


def _levels(
    channels: list[dict[str, Any]], tops: dict[str, float], rows: dict[str, float]
) -> Iterator[tuple[dict[str, Any], float]]:
    """Each channel with its height: at the middle of the rows that it serves, or below those where there are none."""
    spare = tops["guest"] + rows["guest"]
    for channel in channels:
        row = ROWS.get(channel["kind"]) or f"nic {channel['nic']}"
        own = [name for name in rows if name == row or (row == "disks" and name.startswith("disk "))]
        if own:
            begin, end = tops[own[0]], tops[own[-1]] + rows[own[-1]]
            aside = {"mirror": -25, "compare": 27}.get(channel["kind"], 0)
            yield channel, (begin + end) / 2 + aside
        else:
            spare += 46
            yield channel, spare


def _band(side: dict[str, Any], names: list[str | None], width: float) -> Panel:
    """The channels between two hosts of which one is below the other."""
    if not side["channels"]:
        return Panel(40, ink.text(width / 2, 24, _no_channels(side), "muted", size=11, room=width, anchor="middle"))
    drawn = []
    height = 14 + BAND_ROW * len(side["channels"])
    for number, channel in enumerate(side["channels"]):
        top, look = 8 + BAND_ROW * number, _look(side, channel)
        ends = [(26.0, top + 2.0), (26.0, top + BAND_ROW - 4.0)]
        nic = f", {channel['nic']}" if channel["nic"] else ""
        drawn += [
            ink.arrow(ends if _leads_right(side, names, channel) else ends[::-1], f"channel {look}"),
            ink.text(44, top + 14, f"{channel['kind']} :{channel['port']}{nic}", "strong", size=11, room=width - 60),
            ink.text(44, top + 28, _state(side, channel), f"channel-text {look}", size=10, room=width - 60),
        ]
    return Panel(height, join(*drawn))


def _leads_right(side: dict[str, Any], names: list[str | None], channel: dict[str, Any]) -> bool:
    """Whether a channel leads from the first host to the second, by their roles."""
    roles = [((_seen(side, name) or {}).get("domain") or {}).get("record") for name in names]
    first, second = (record and record["role"] for record in roles)
    primary_first = first == "primary" or (first is None and second == "secondary") or second == "secondary"
    return primary_first == (channel["from"] == "primary")


def _look(side: dict[str, Any], channel: dict[str, Any]) -> str:
    """Green only where both ends see it; red only where the pair cannot be without it."""
    if channel["state"] == "connected":
        return "good" if len(channel["seen_by"]) == len(side["hosts"]) == 2 else "warning"
    needed = (side["verdict"] or {}).get("phase") in ("protected", "stalled", "degraded")
    return "warning" if channel["state"] == "one_sided" else "bad" if needed else "none"


def _state(side: dict[str, Any], channel: dict[str, Any]) -> str:
    observers = channel["seen_by"] + channel["not_seen_by"]
    if channel["state"] == "one_sided":
        return f"only {words.listed(channel['seen_by'])} sees it"
    said = WORDS[channel["state"]]
    if channel["connections"] > 1:
        said += f", {channel['connections']} connections"
    return said if len(observers) > 1 else f"{said}, says {words.listed(observers)}"


def _no_channels(side: dict[str, Any]) -> str:
    records = [domain["record"] for domain in _domains(side) if domain["record"]]
    if any(record["role"] == "alone" for record in records):
        return "no channels: it runs alone"
    return (
        "no channels: no pair yet"
        if any(host["observation"] for host in side["hosts"].values())
        else "the channels are not known"
    )
