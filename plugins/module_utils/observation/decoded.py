# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON that another host has written, or that a damaged file has: a value, or a ValueError whatever it is."""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 64  # of a list in a list; an observation in a module's result has some 10


def decoded(text: str | bytes) -> Any:
    """The value; ValueError for what is none, and for one so deep that whoever goes through it would not return."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep to be read") from None
    level = [value]
    for _depth in range(DEEPEST):
        level = [item for one in level for item in _within(one)]
        if not level:
            return value
    raise ValueError(f"nested deeper than {DEEPEST}")


def _within(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
