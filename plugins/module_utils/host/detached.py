# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process of its own that outlasts the run which begins it, as long copies need it.

It is a module of this package whose ``main`` takes its arguments from standard input and, once it is at work, says so
with a line on standard output. By then it has imported what it needs: what Ansible unpacks for a run goes with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ColoError, Timeout

PROC = "/proc"
GONE = 5.0  # seconds for the kernel to end a process
READY = b"ready\n"
LONGEST = 4096  # bytes of what it says


def begin(module: str, what: str, of: str, arguments: dict[str, Any], deadline: float) -> None:
    """Have ``module`` of this package run in a process of its own, called ``what``; returns when it is at work.

    ``of``: the domain's UUID, by which it is known to ``end``.

    Raises ColoError with what it says instead, Timeout when it says nothing within ``deadline`` seconds.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", _name(module), of],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    with process.stdin as own, process.stdout as said:
        try:
            own.write(json.dumps(arguments).encode())
            own.close()
            words = _line(said.fileno(), deadline)
        except BrokenPipeError:
            words = b""
    if words == READY:
        return
    ended = process.poll() is not None
    process.kill()
    process.wait()
    if words is None:
        raise Timeout(f"{what} was not at work within {deadline:g} s")
    text = words.decode(errors="replace").strip() or (f"it ended with {process.returncode}" if ended else "")
    raise ColoError(f"{what} did not begin: {text or 'it ended without a word'}")


def end(module: str, of: str) -> None:
    """End whatever of this kind runs for the domain, whether it still answers or not."""
    for process in (int(entry.name) for entry in Path(PROC).iterdir() if entry.name.isdigit()):
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(process) if _is(process, module, of) else None
            if handle is None:
                continue
            try:
                if _is(process, module, of):  # still: the number is no other's while it is held
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [], GONE)
            finally:
                os.close(handle)


def _is(process: int, module: str, of: str) -> bool:
    try:
        words = Path(PROC, str(process), "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[-3:-1] == [_name(module).encode(), of.encode()]


def _name(module: str) -> str:
    return f"{__package__}.{module}"


def _line(handle: int, deadline: float) -> bytes | None:
    """What is said up to the end of a line; less where it has hung up, None where the deadline came first."""
    until, text = time.monotonic() + deadline, b""
    while not text.endswith(b"\n") and len(text) < LONGEST:
        if not select.select([handle], [], [], max(until - time.monotonic(), 0))[0]:
            return None
        more = os.read(handle, LONGEST)
        if not more:
            break
        text += more
    return text


def run(work: Callable[[dict[str, Any], Callable[[], None]], None]) -> None:
    """The ``main`` of such a module: ``work`` is given the arguments, and what to call once it is at work."""
    arguments, said = json.loads(sys.stdin.buffer.read()), os.dup(1)
    silent = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(silent, standard)

    def ready() -> None:
        os.write(said, READY)
        os.close(said)

    try:
        work(arguments, ready)
    except (ColoError, OSError, EOFError, ValueError, struct.error) as error:
        try:
            os.write(said, f"{error or type(error).__name__}\n".encode())
        except OSError:  # it has been at work, and nobody listens any more
            pass
        os._exit(1)  # there is nobody to be told more
