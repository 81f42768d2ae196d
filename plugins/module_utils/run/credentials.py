# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Having this host's certificate and keys where QEMU looks for them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import ColoError
from ..host.credentials import File, differs, put_in_place


def install(files: Iterable[Mapping[str, Any]], directory: str, *, check: bool) -> dict[str, Any]:
    """What a module returns of it. Where nothing differs, nothing is written."""
    place = Path(directory)
    wanted = [_file(one) for one in files]
    missing = [file for file in wanted if differs(place, file)]
    if not check and (unknown := [file.name for file in missing if file.content is None]):
        raise ColoError(f"nothing was told of what is in {', '.join(unknown)}", remedy="Look at it on the control node")
    if missing and not check:
        put_in_place(missing, place)
    return {"changed": bool(missing)}


def _file(given: Mapping[str, Any]) -> File:
    content = given["content"]
    known = None if content is None else base64.b64decode(content)
    return File(given["name"], given["owner"], int(given["mode"], 8), known)
