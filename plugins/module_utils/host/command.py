# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Running a command of the host, with a deadline and an error that carries the command's own words."""

from __future__ import annotations

import subprocess

from ..errors import ColoError, CommandFailed, Timeout

COMMAND_DEADLINE = 20.0  # seconds


def run(
    *command: str, deadline: float = COMMAND_DEADLINE, stdin: str | None = None, inherits: tuple[int, ...] = ()
) -> str:
    """Run a command, with ``stdin`` to read where it is given, and return what it printed.

    ``inherits``: the open files that it goes on with.

    Raises CommandFailed when it ends with an error, Timeout when it misses its deadline, ColoError when it is missing.
    """
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=deadline, check=False, pass_fds=inherits
        )
    except FileNotFoundError:
        raise ColoError(
            f"the command {command[0]} is missing", remedy="The role lockstep.colo.host installs it"
        ) from None
    except subprocess.TimeoutExpired:
        raise Timeout(f"{' '.join(command)} did not end within {deadline:g} s") from None
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
