# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the QEMU binary of a host can do, asked of the binary itself: builds differ (RHEL's leave replication out)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from .errors import ColoError
from .observation import Emulator
from .process import run

DEFAULT_EMULATOR = "/usr/bin/qemu-system-x86_64"

# What COLO needs, by the enumeration of query-qmp-schema that lists it (told by one member that is always there).
DRIVERS = ("quorum", "replication", "nbd", "qcow2", "blkdebug", "null-co")
OBJECTS = ("filter-mirror", "filter-redirector", "filter-rewriter", "colo-compare")
CAPABILITIES = ("x-colo", "pause-before-switchover")
COMMANDS = (
    "blockdev-mirror",
    "block-export-add",
    "migrate-incoming",
    "nbd-server-start",
    "query-colo-status",
    "x-blockdev-change",
    "x-colo-lost-heartbeat",
)
_WITNESS = {"driver": "raw", "object": "iothread", "migration capability": "auto-converge"}


def probe(path: str) -> Emulator:
    """Start the binary without a machine and read its version and what it lacks for COLO."""
    requests = ("qmp_capabilities", "query-version", "query-qmp-schema", "quit")
    output = run(
        path, "-machine", "none", "-nodefaults", "-display", "none", "-qmp", "stdio",
        stdin="".join(json.dumps({"execute": name}) + "\n" for name in requests),
    )  # fmt: skip
    replies = [json.loads(line) for line in output.splitlines() if line.strip()]
    returned = [reply["return"] for reply in replies if "return" in reply]
    if len(returned) < 3:
        raise ColoError(f"{path} did not answer on its monitor", remedy="Install Debian's qemu-system-x86")
    version, schema = returned[1], returned[2]
    number = version["qemu"]
    return Emulator(path, f"{number['major']}.{number['minor']}.{number['micro']}", missing(schema))


def missing(schema: list[dict]) -> tuple[str, ...]:
    """What of COLO's needs a query-qmp-schema reply does not have, in words."""
    enumerations = [set(item["values"]) for item in schema if item["meta-type"] == "enum"]
    commands = {item["name"] for item in schema if item["meta-type"] == "command"}
    lacking = [f"command {name}" for name in COMMANDS if name not in commands]
    for kind, wanted in (("driver", DRIVERS), ("object", OBJECTS), ("migration capability", CAPABILITIES)):
        known = _members(enumerations, _WITNESS[kind])
        lacking += [f"{kind} {name}" for name in wanted if name not in known]
    return tuple(lacking)


def _members(enumerations: Iterable[set[str]], witness: str) -> set[str]:
    return set().union(*(values for values in enumerations if witness in values))
