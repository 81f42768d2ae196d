# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The format of an observation, as a number that follows from its fields: two hosts may run different versions."""

from __future__ import annotations

import dataclasses
import functools
import re
import typing
import zlib
from typing import Any

from ..errors import ColoError

_PACKAGES = re.compile(r"(?:\w+\.)+(?=\w)")  # wherever the core is installed, its classes are the same


@functools.cache
def number(kind: Any) -> int:
    """Another one for any other field, name or type, however deep below ``kind``; that of one class never changes."""
    return zlib.crc32("\n".join(sorted(_fields(kind, set()))).encode())


def _fields(kind: Any, known: set[Any]) -> list[str]:
    if kind in known:
        return []
    known.add(kind)
    found = [line for part in typing.get_args(kind) for line in _fields(part, known)]
    if not dataclasses.is_dataclass(kind):
        return found
    for name, hint in typing.get_type_hints(kind).items():
        plain = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else _PACKAGES.sub("", str(hint))
        found += [f"{kind.__name__}.{name}: {plain}", *_fields(hint, known)]
    return found


def refuse_other(kind: Any, data: Any) -> None:
    """ColoError for data of another version; data that has no number, as of a recording, passes."""
    given = data.get("format") if isinstance(data, dict) else None
    if isinstance(given, int) and given != number(kind):
        raise ColoError(
            f"what was observed on the other host is of another format ({given:08x}, here it is {number(kind):08x}): "
            "the two hosts run different versions of this collection",
            remedy="Run the same version on both (lockstep.colo.deploy brings the hosts to that of the control node)",
        )
