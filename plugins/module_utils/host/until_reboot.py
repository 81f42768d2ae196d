# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host has to know until it reboots: a save that is to be restored, a start that is permitted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..record.pair import RUN_DIRECTORY


def run_directory() -> Path:
    """Where a host keeps what it has to know until it reboots; made where it is not there."""
    directory = Path(RUN_DIRECTORY)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def write_whole(path: Path, text: str) -> None:
    """Write a note there; who reads it meanwhile finds the one before, or the whole of this one."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _note(uuid: str) -> Path:
    return run_directory() / f"{uuid}.saved"


def note_save(uuid: str) -> None:
    """Note that a run is about to save this domain in order to restore it, until the host reboots."""
    _note(uuid).touch()


def forget_save(uuid: str) -> None:
    """Take that note back; nothing where there is none."""
    _note(uuid).unlink(missing_ok=True)


def is_noted(uuid: str) -> bool:
    """Whether a run was about to save this domain, and has not restored it."""
    return os.path.exists(f"{RUN_DIRECTORY}/{uuid}.saved")


@contextlib.contextmanager
def start_permit(uuid: str) -> Iterator[None]:
    """Let libvirt's hook, which the role host installs, pass one start of this domain while this process lives.

    It refuses every other start of a domain that is in a pair.
    """
    permit = Path(run_directory(), uuid)
    permit.write_text(str(os.getpid()), encoding="ascii")
    try:
        yield
    finally:
        permit.unlink(missing_ok=True)
