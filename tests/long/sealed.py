# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages of the docs that a run writes from its results: sealed, so that it is seen if one is edited by hand."""

from __future__ import annotations

import hashlib

SEAL = "<!-- sha256 of the lines above: "


def sealed(text: str) -> str:
    return f"{text}\n{SEAL}{hashlib.sha256(text.encode()).hexdigest()} -->\n"


def untouched(text: str) -> bool:
    """Whether the page is as it was written."""
    return text == sealed(text.partition(f"\n{SEAL}")[0])
