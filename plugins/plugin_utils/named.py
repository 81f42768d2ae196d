# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two hosts of a pair as the inventory names them, before one is asked for anything, or fenced for the other."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

ENDS = ("colo_primary", "colo_secondary")
REFUSED = (
    "The hosts of {pair} are not two of the inventory: {wrong}. Nothing was done for it. Mend that where it is said: "
    "each of the two is the name of another KVM host, of those that ansible-inventory --graph kvm shows"
)


def refusal(pair: str, ends: Sequence[Any], hosts: Container[str], pairs: Container[str]) -> str | None:
    """Why nothing may be done for a pair of these two names; None where they are two of ``hosts``, and no ``pairs``."""
    wrong = [f"{end} is {why}" for end, name in zip(ENDS, ends, strict=True) if (why := _wrong(name, hosts, pairs))]
    if not wrong and ends[0] == ends[1]:
        wrong = [f"{' and '.join(ENDS)} are both {ends[0]}"]
    return REFUSED.format(pair=pair, wrong="; ".join(wrong)) if wrong else None


def _wrong(name: Any, hosts: Container[str], pairs: Container[str]) -> str:
    if name is None:
        return "not set"
    if not isinstance(name, str):
        return f"no text, but {name}"
    if not name.strip():
        return "empty"
    if name not in hosts:
        return f"{name}, which the inventory does not have"
    return f"{name}, which is a pair" if name in pairs else ""
