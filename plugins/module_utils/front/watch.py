# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resident watcher of a host, as lockstep-colo-watch.service runs it: what it says goes to the journal."""

from __future__ import annotations

import sys

from ..errors import ColoError
from ..run.vigil import keep_watch


def main() -> int:
    """Never returns, unless it is told something that it cannot read."""
    try:
        keep_watch(_say)
    except ColoError as error:
        _say(str(error))
    return 1


def _say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()
