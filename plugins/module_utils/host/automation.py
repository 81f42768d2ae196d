# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files by which a host's watcher is told what is wanted of it, and tells how it is."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ..errors import ColoError
from ..observation.automation import Automation, Settings
from ..observation.decoded import decoded
from ..record.pair import RUN_DIRECTORY
from .files import sync
from .until_reboot import run_directory, write_whole

DIRECTORY = "/etc/lockstep-colo"
SETTINGS = "watch.json"
BEAT = 10.0  # seconds after which a watcher that has told nothing is not at work


def settings() -> Settings:
    """What the role host has written for the watcher; the defaults where it has written nothing."""
    return Settings(**_read(Path(DIRECTORY, SETTINGS)))


def wanted(uuid: str) -> dict[str, Any] | None:
    """What the operator wants of the watcher for the domain with this UUID; None: nothing."""
    path = _wish(uuid)
    return _read(path) if path.exists() else None


def told(uuid: str) -> str:
    """The text by which the watcher is told of it; empty where it is told nothing."""
    try:
        return _wish(uuid).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def want(uuid: str, text: str) -> None:
    """Tell the watcher of the domain with this UUID by this ``text``, durably; empty: tell it nothing any more."""
    path = _wish(uuid)
    if not path.parent.is_dir():
        raise ColoError(
            f"there is no watcher on this host: {path.parent} is missing",
            remedy="Run lockstep.colo.deploy with the KVM hosts in its limit, where colo_automation says so for them",
        )
    if not text:
        path.unlink(missing_ok=True)
    else:
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    sync(path.parent)


def _wish(uuid: str) -> Path:
    return Path(DIRECTORY, "automation", f"{uuid}.json")


def tell(uuid: str, told: dict[str, Any]) -> None:
    """Let others on this host see how the watcher is with a domain; it counts for BEAT seconds."""
    directory = run_directory() / "watch"
    directory.mkdir(mode=0o700, exist_ok=True)
    write_whole(directory / f"{uuid}.json", json.dumps({**told, "beat": time.monotonic()}))


def automation(uuid: str) -> Automation:
    """What the watcher is told of the domain with this UUID, and says of it; ColoError for a damaged file."""
    told = _read(Path(RUN_DIRECTORY, "watch", f"{uuid}.json"))
    awake = time.monotonic() - told.pop("beat", -BEAT) < BEAT
    return Automation(wanted=wanted(uuid) is not None, awake=awake, **(told if awake else {}))


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(decoded(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ColoError(f"{path} is damaged: {error}", remedy="Run lockstep.colo.deploy, which writes it") from None
