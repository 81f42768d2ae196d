# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the QEMU binary of a host can do, asked of the binary itself: builds differ (RHEL's leave replication out)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from ..errors import ColoError
from ..host.command import COMMAND_DEADLINE
from ..lockstep.abilities import OPTIONS, PAUSE, X_COLO
from ..observation.seen import Emulator
from .monitor import PURE_QUERIES

_REMEDY = "Install Debian's qemu-system-x86: the role lockstep.colo.host does"
DEFAULT_EMULATOR = "/usr/bin/qemu-system-x86_64"

# What COLO needs, by the enumeration of query-qmp-schema that lists it (told by one member that is always there).
DRIVERS = ("quorum", "replication", "nbd", "qcow2", "blkdebug", "null-co")
OBJECTS = ("filter-mirror", "filter-redirector", "filter-rewriter", "colo-compare")
CAPABILITIES = (X_COLO, PAUSE)
CHANGES = (  # the commands of plans; a test holds them against those
    "announce-self",
    "block-dirty-bitmap-disable",
    "block-dirty-bitmap-remove",
    "block-export-add",
    "block-job-cancel",
    "block-job-set-speed",
    "blockdev-add",
    "blockdev-backup",
    "blockdev-del",
    "blockdev-mirror",
    "chardev-add",
    "chardev-remove",
    "cont",
    "job-dismiss",
    "migrate",
    "migrate-continue",
    "migrate-incoming",
    "migrate-set-capabilities",
    "migrate-set-parameters",
    "migrate_cancel",
    "nbd-server-start",
    "nbd-server-stop",
    "object-add",
    "object-del",
    "qom-set",
    "stop",
    "trace-event-set-state",
    "x-blockdev-change",
    "x-colo-lost-heartbeat",
    "yank",
)
WAITS = ("query-yank",)  # asked while a step is waited for, and by no observation
COMMANDS = tuple(sorted((*CHANGES, *WAITS, *PURE_QUERIES)))
EVENTS = ("STOP", "RESUME")  # a checkpoint is known by them
_SOCKET_WITNESS = "tn3270"  # an option of a socket character device, and of nothing else
_QUESTIONS: tuple[dict[str, Any], ...] = (
    {"execute": "qmp_capabilities"},
    {"execute": "query-version"},
    {"execute": "query-qmp-schema"},
    {"execute": "query-machines"},
    {"execute": "migrate-set-capabilities", "arguments": {"capabilities": [{"capability": X_COLO, "state": True}]}},
)
_WITNESS = {"driver": "raw", "object": "iothread", "migration capability": "auto-converge"}


@contextlib.contextmanager
def asked(path: str) -> Iterator[Callable[[], Emulator]]:
    """Start the binary without a machine and ask for its version, its machine types and what it lacks for COLO.

    It starts, and answers, while this process does something else; what is yielded waits for the answers. The binary
    may be a script that starts QEMU, so all of its processes are ended.
    """
    qemu = _start(path)
    try:
        yield partial(_answer, path, qemu)
    finally:
        _end(qemu)
        qemu.communicate()


def _start(path: str) -> subprocess.Popen:
    call = [path, "-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio"]
    try:
        qemu = subprocess.Popen(
            call,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise ColoError(f"cannot start {path}: {error.strerror}", remedy=_REMEDY) from None
    with contextlib.suppress(BrokenPipeError):  # it ended: the count of its replies tells
        qemu.stdin.write("".join(json.dumps(question) + "\n" for question in _QUESTIONS))
        qemu.stdin.flush()
    return qemu


def _answer(path: str, qemu: subprocess.Popen) -> Emulator:
    _capabilities, version, schema, machines, colo = _replies(path, qemu)
    number = version["return"]["qemu"]
    return Emulator(
        path,
        f"{number['major']}.{number['minor']}.{number['micro']}",
        missing(schema["return"]),
        tuple(sorted(machine["name"] for machine in machines["return"])),
        options(schema["return"]),
        required(colo),
    )


def _replies(path: str, qemu: subprocess.Popen) -> list[dict[str, Any]]:
    """One for each question. QEMU is ended only when all are read: told to quit, it drops what is unsent."""
    deadline = threading.Timer(COMMAND_DEADLINE, _end, (qemu,))
    deadline.start()
    replies: list[dict[str, Any]] = []
    try:
        while len(replies) < len(_QUESTIONS) and (line := qemu.stdout.readline()):
            reply = json.loads(line)
            replies += [reply] if "return" in reply or "error" in reply else []
    except ValueError:
        pass  # it says something else than QMP: the count tells
    finally:
        deadline.cancel()
    if len(replies) < len(_QUESTIONS):
        raise ColoError(f"{path} did not answer on its monitor within {COMMAND_DEADLINE:g} s", remedy=_REMEDY)
    return replies


def _end(leader: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)


def missing(schema: list[dict]) -> tuple[str, ...]:
    """What of COLO's needs a query-qmp-schema reply does not have, in words."""
    enumerations = [set(item["values"]) for item in schema if item["meta-type"] == "enum"]
    lacking = []
    for kind, wanted in (("command", COMMANDS), ("event", EVENTS)):
        known = {item["name"] for item in schema if item["meta-type"] == kind}
        lacking += [f"{kind} {name}" for name in wanted if name not in known]
    for kind, wanted in (("driver", DRIVERS), ("object", OBJECTS), ("migration capability", CAPABILITIES)):
        known = _members(enumerations, _WITNESS[kind])
        lacking += [f"{kind} {name}" for name in wanted if name not in known]
    return tuple(lacking)


def options(schema: list[dict]) -> tuple[str, ...]:
    """Which of a socket's options that builds differ in this one has."""
    objects = [{member["name"] for member in item["members"]} for item in schema if item["meta-type"] == "object"]
    known = _members(objects, _SOCKET_WITNESS)
    return tuple(name for name in OPTIONS if name in known)


def required(reply: dict[str, Any]) -> tuple[str, ...]:
    """The capabilities that QEMU asks for when it is told to turn x-colo on alone, by its reply.

    No schema tells: 11.1.3 says "Capability 'x-colo' requires capability 'return-path'"; 7.2.22 and 10.0.13 agree.
    """
    return tuple(re.findall(r"requires capability '([\w-]+)'", reply.get("error", {}).get("desc", "")))


def _members(enumerations: Iterable[set[str]], witness: str) -> set[str]:
    return set().union(*(values for values in enumerations if witness in values))
