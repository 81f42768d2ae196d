# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody hears who listens at the replication link: with TLS nothing of what the guest writes, keeps or says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from colo_bed import Bed
from lockstep_lab import checker

CAPTURE = Path(__file__).with_name("capture.py")
CHANNELS = {21600: "migration", 21601: "nbd", 21602: "mirror", 21603: "compare"}
ASKED = "marker-of-this-test"
REQUESTS = 20

pytestmark = pytest.mark.long


@pytest.fixture
def link(lab: Bed):
    lab.fresh_guest(rate=50)
    # On disk and in memory; in the guest's answers; in what clients say to it.
    markers = [checker.MAGIC.to_bytes(8, "little"), lab.get().encode(), ASKED.encode()]
    words = ["kvm1", "21600", "23199", *(marker.hex() for marker in markers)]
    command = ["ip", "netns", "exec", lab.lab.lan_ns, sys.executable, "-B", str(CAPTURE), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "recording\n"
        yield lambda: json.loads(process.communicate("", timeout=60)[0])
        process.kill()


@pytest.mark.parametrize(
    ("tls", "clear"),
    [("required", set()), ("except_proxy", {"mirror", "compare"}), ("off", set(CHANNELS.values()))],
)
def test_markers_of_a_guest_are_heard_where_there_is_no_tls_alone(lab: Bed, link, tls: str, clear: set[str]) -> None:
    lab.deploy("-e", f"colo_tls={tls}").good()
    for number in range(REQUESTS):
        lab.get()
        lab.get(f"cgi-bin/uptime?{ASKED}-{number}")
    lab.playbook("status", "--limit", "web1").good()  # it counts checkpoints for some seconds
    heard = {CHANNELS[int(port)]: told for port, told in link().items()}
    print(tls, json.dumps(heard))
    assert set(heard) == set(CHANNELS.values())
    assert {name for name, told in heard.items() if told["marked"]} == clear
