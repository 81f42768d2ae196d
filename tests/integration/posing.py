# SPDX-License-Identifier: GPL-3.0-or-later
"""A third machine in the place of a pair's host, towards the other."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from colo_bed import OTHER, Bed
from lockstep_lab.common import CLIENT_ADDRESS, HOSTS

IMPOSTOR = Path(__file__).with_name("impostor.py")
NBD = 21601


@contextlib.contextmanager
def posing(
    bed: Bed, host: str, ports: tuple[int, ...], certificate: Path | None, *, silent: bool = False, passes: int = 0
) -> Iterator[list[dict[str, Any]]]:
    """Who connects from the other host to these ports of ``host`` gets a false server; then the list has what came.

    ``passes``: so many of the connections come to the host itself before.
    """
    inside = ["ip", "netns", "exec"]
    words = [*inside, bed.lab.client_ns, sys.executable, "-B", str(IMPOSTOR), *map(str, ports), "--nbd", str(NBD)]
    words += ["--certificate", str(certificate)] if certificate else []
    words += ["--silent"] if silent else []
    nft = [*inside, bed.lab.host_ns(OTHER[host]), "nft"]
    which = f"ip daddr {HOSTS[host]} tcp dport {{ {', '.join(map(str, ports))} }}"
    rules = [f"{which} limit rate 1/day burst {passes} packets return"] if passes else []
    rules.append(f"{which} dnat to {CLIENT_ADDRESS}")
    table = f"table ip impostor {{ chain out {{ type nat hook output priority -100; {'; '.join(rules)}; }}; }}"
    heard: list[dict[str, Any]] = []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "{}\n"
        subprocess.run([*nft, table], check=True)
        try:
            yield heard
        finally:
            subprocess.run([*nft, "delete table ip impostor"], check=True)
            heard += map(json.loads, server.communicate(timeout=60)[0].splitlines())
