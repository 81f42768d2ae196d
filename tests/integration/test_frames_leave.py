# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what a tap sends is seen to leave by an uplink of its bridge, and what is sent to it to come in there, in a
network namespace of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from colo_bed import ROOT

MAC = "52:54:00:00:00:01"
SCRIPT = """
import fcntl, json, os, socket, struct, subprocess, sys, threading, time
from dataclasses import asdict
from pathlib import Path
from ansible_collections.lockstep.colo.plugins.module_utils.host import leaving

def ip(words):
    subprocess.run(["ip", *words.split()], check=True)

def tap(name):
    handle = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(handle, 0x400454CA, struct.pack("16sH", name.encode(), 0x1002))  # TUNSETIFF, IFF_TAP | IFF_NO_PI
    return handle

GUEST = bytes.fromhex("525400000001")
def speak(handle, seconds, destination=b"\\xff" * 6, source=GUEST):
    frame = destination + source + b"\\x80\\x35" + bytes(46)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        os.write(handle, frame)
        time.sleep(0.05)

subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)  # of this network namespace
ip("link add br0 type bridge"); ip("link set br0 up")
ip("link add up0 type veth peer name far0")
for device in ("up0", "far0"):
    ip(f"link set {device} up")
handle = tap("vnet0")
ip("link set vnet0 up")
case = sys.argv[1]
if case != "no uplink":
    ip("link set up0 master br0")
if case != "no bridge":
    ip("link set vnet0 master br0")
if case == "filter":
    chain = "add chain bridge t f { type filter hook forward priority 0; }"
    subprocess.run(["nft", f"add table bridge t; {chain}; add rule bridge t f drop"], check=True)
other = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
other.bind(("far0", 0))
if case == "another":  # the same address is heard from the uplink alone
    handle = other.fileno()
if case == "well":
    client = bytes.fromhex("525400000002")
    threading.Thread(target=speak, args=(other.fileno(), 2.5, GUEST, client), daemon=True).start()
threading.Thread(target=speak, args=(handle, 2.5), daemon=True).start()
began = time.monotonic()
(found,) = leaving.watch({"52:54:00:00:00:01": "vnet0"}, 1.5)
print(json.dumps({**asdict(found), "took": time.monotonic() - began}))
"""


@pytest.mark.parametrize(
    ("case", "seen"),
    [
        ("well", {"bridge": "br0", "learned": "vnet0", "uplinks": ["up0"], "left": True, "answered": True}),
        ("nobody", {"bridge": "br0", "learned": "vnet0", "uplinks": ["up0"], "left": True, "answered": False}),
        ("filter", {"bridge": "br0", "learned": "vnet0", "uplinks": ["up0"], "left": False}),
        ("no uplink", {"bridge": "br0", "learned": "vnet0", "uplinks": [], "left": False}),
        ("no bridge", {"bridge": None, "learned": None, "uplinks": [], "left": False}),
        ("another", {"bridge": "br0", "learned": "up0", "uplinks": ["up0"]}),
    ],
)
def test_what_leaves(case: str, seen: dict) -> None:
    words = ["unshare", "--net", "--mount", sys.executable, "-c", SCRIPT, case]
    environment = {"PYTHONPATH": f"{ROOT}/.cache/collections", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert {key: found[key] for key in seen} == seen
    assert (found["took"] < 1) is bool(found["answered"] or not found["uplinks"])
