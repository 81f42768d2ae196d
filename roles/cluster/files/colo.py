# SPDX-License-Identifier: GPL-3.0-or-later
"""The resource agent ocf:lockstep:colo. What it does is in the core of the collection, lockstep_colo.front.ocf.

The core is kept unpacked until the host reboots: Python compiles what is in an archive each time, for which a promotion
has no time (0.8 s of CPU instead of 0.3).
"""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

ARCHIVE = Path("@colo_watch_archive@")
DIRECTORY = Path("/run/lockstep-colo")
NOT_INSTALLED = 5  # OCF_ERR_INSTALLED


def main(words: list[str], environment: Mapping[str, str]) -> int:
    """The exit code of one action."""
    # A promotion waits for each notification; nothing is to be done before what they tell of has happened.
    if words == ["notify"] and environment.get("OCF_RESKEY_CRM_meta_notify_type") == "pre":
        return 0
    try:
        sys.path.insert(0, str(unpacked()))
        from lockstep_colo.front import ocf
    except (OSError, ImportError, zipfile.BadZipFile) as error:
        sys.stderr.write(f"ocf-exit-reason:{ARCHIVE} cannot be used: {error}. Run lockstep.colo.deploy for this host\n")
        return NOT_INSTALLED
    return ocf.main(words, environment)


def unpacked() -> Path:
    """A directory with what the archive of now has in it."""
    told = ARCHIVE.stat()
    core = DIRECTORY / f"core-{told.st_mtime_ns:x}-{told.st_size:x}"
    if not core.is_dir():
        DIRECTORY.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = core.with_suffix(f".{os.getpid()}")
        with zipfile.ZipFile(ARCHIVE) as archive:
            archive.extractall(new)
        try:
            new.rename(core)
        except OSError:  # another action was quicker
            shutil.rmtree(new)
    return core


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
