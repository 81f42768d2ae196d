# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: words to functions, and nothing else."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from . import checker, control, diskimage, guest, hosts, network, probe, rootfs
from .common import GUEST_ADDRESS, HOSTS, SOURCE, Lab, LabError, ensure_tools

LOCKED = {"up", "down", "power-off", "power-on", "freeze", "thaw", "cut", "mend", "guest-define", "guest-remove"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab", description="Two Debian KVM hosts, a client and a guest on one machine."
    )
    parser.add_argument(
        "--name", dest="lab", default=os.environ.get("LOCKSTEP_LAB_NAME", "colo-lab"), help="the lab's name"
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, text: str, *, host: bool = False) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        if host:
            added.add_argument("host", choices=HOSTS)
        return added

    up = verb("up", "build what is missing and boot both hosts")
    up.add_argument(
        "--bare", action="store_true", help="hosts with ssh and Python alone; packages are there for apt to install"
    )
    up.add_argument(
        "--suite",
        default=os.environ.get("LOCKSTEP_LAB_SUITE", rootfs.SUITE),
        help=f"what the hosts are made from: {', '.join(rootfs.SUITES)}; the second is the first with backports' QEMU",
    )
    up.add_argument(
        "--instances",
        type=diskimage.suites,
        metavar="SUITE[,SUITE]",
        help=f"bare hosts of that suite ({', '.join(diskimage.SUITES)}), or one of each, as VMs, with a KVM that works",
    )
    verb("down", "remove everything but the cache").add_argument("--purge", action="store_true", help="the cache too")
    verb("status", "what there is, as JSON")
    verb("power-off", "a host loses power: silent, its disk is kept", host=True)
    verb("power-on", "boot a host from the disk it had", host=True)
    verb("freeze", "stop all processes of a host", host=True)
    verb("thaw", "continue a frozen host", host=True)
    verb("cut", "separate a host from the LAN, in silence", host=True).add_argument(
        "--carrier", action="store_true", help="let the host see its link go down"
    )
    verb("mend", "join a host to the LAN again", host=True)
    verb("ssh", "run a command on a host, or a shell", host=True).add_argument("command", nargs=argparse.REMAINDER)

    shape = guest.Guest()
    define = verb("guest-define", "define an ordinary guest on a host", host=True)
    define.add_argument("--name", default=shape.name)
    define.add_argument(
        "--address", default=shape.address, help=f"default {shape.address}; web1's is what others expect"
    )
    define.add_argument("--disks", type=int, choices=(1, 2), default=len(shape.disks))
    define.add_argument("--nics", type=int, choices=(1, 2), default=shape.nics)
    define.add_argument("--format", choices=("qcow2", "raw"), default=shape.disks[0].format)
    define.add_argument("--size", default=shape.size)
    define.add_argument("--machine", default=shape.machine)
    define.add_argument("--memory", type=int, default=shape.memory, help="MiB")
    define.add_argument(
        "--writer-rate", type=int, default=shape.writer_rate, help="records a second, 0 = as fast as it goes"
    )
    define.add_argument("--no-writer", action="store_true")
    define.add_argument(
        "--store", action="store_true", help="write what the client asks for over TCP, and nothing else"
    )
    define.add_argument("--ipv6", action="store_true", help="acknowledge over IPv6 as well")
    define.add_argument("--vlan", type=int, default=shape.vlan, help="acknowledge in frames with this tag as well")
    define.add_argument("--no-vhost", action="store_true", help="keep the NICs' packets in QEMU, as COLO needs them")
    define.add_argument("--start", action="store_true")
    remove = verb("guest-remove", "remove a guest and its images from all hosts that are on")
    remove.add_argument("--name", default=shape.name)
    wait = verb("guest-wait", "until the guest answers ping and http")
    wait.add_argument("--address", default=GUEST_ADDRESS)
    wait.add_argument("--timeout", type=float, default=60)
    get = verb("guest-get", "fetch a page of the guest as the client, for example boot_id or cgi-bin/reboot")
    get.add_argument("path")
    get.add_argument("--address", default=GUEST_ADDRESS)

    start = verb("probe-start", "begin to record what a client sees")
    start.add_argument("--out", type=Path, required=True, metavar="DIR")
    start.add_argument("--guest", default=GUEST_ADDRESS, metavar="ADDRESS")
    start.add_argument("--store", default="", metavar="ADDRESS", help="ask the guest's store at it for records")
    verb("probe-stop", "end the recording")
    report = verb("probe-report", "what was recorded, as JSON")
    report.add_argument("dir", type=Path)
    report.add_argument("--since", type=float, help="leave out what was before this time")
    report.add_argument("--event", type=float, help="the time of an event, to measure the outage around it")
    report.add_argument("--clock", choices=("wall", "monotonic"), default="wall", help="the clock of both times")

    verb("control", "run a command on a control node of Debian 13").add_argument("command", nargs=argparse.REMAINDER)
    verb("selftest", "test the lab's own instruments; needs pytest, but no lab")
    check = verb("check", "whether every acknowledged record is in an image, as JSON; exit 1 when one is not")
    check.add_argument("--image", required=True, help="the path on the host")
    check.add_argument("--host", choices=HOSTS, required=True)
    check.add_argument("--acks", type=Path, required=True, metavar="DIR", help="the directory of the probe")
    check.add_argument("--disk", type=int, default=0)
    check.add_argument("--live", action="store_true", help="read although the image is in use (indicative only)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one verb; 0 is good, 1 is a check that failed or an error that was told."""
    words = _parser().parse_args(argv)
    lab = Lab(words.lab)
    try:
        ensure_tools()
        if words.verb in LOCKED:
            with lab.lock():
                return _run(lab, words)
        return _run(lab, words)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(lab: Lab, words: argparse.Namespace) -> int:
    result: object = None
    match words.verb:
        case "up":
            hosts.up(lab, bare=words.bare, instances=words.instances, suite=words.suite)
        case "down":
            hosts.down(lab, purge=words.purge)
        case "status":
            result = hosts.status(lab)
        case "power-off":
            hosts.power_off(lab, words.host)
        case "power-on":
            hosts.power_on(lab, words.host)
        case "freeze" | "thaw":
            hosts.set_frozen(lab, words.host, words.verb == "freeze")
        case "cut":
            hosts.set_cut(lab, words.host, True, carrier=words.carrier)
        case "mend":
            hosts.set_cut(lab, words.host, False)
        case "ssh":
            command = hosts.ssh_command(lab, words.host)
            os.execvp(command[0], [*command, *words.command])
        case "guest-define":
            disks = guest.virtio_disks(dict.fromkeys(("vda", "vdb")[: words.disks], words.format))
            wanted = guest.Guest(
                words.name, words.address, disks, words.nics, words.size, words.machine, words.memory,
                words.writer_rate, not words.no_writer, store=words.store, ipv6=words.ipv6, vlan=words.vlan,
                vhost=not words.no_vhost,
            )  # fmt: skip
            guest.define(lab, words.host, wanted, start=words.start)
        case "guest-remove":
            guest.remove(lab, words.name)
        case "guest-wait":
            guest.wait(lab, words.address, timeout=words.timeout)
        case "guest-get":
            print(
                network.inside(lab, ["get", f"http://{words.address}/{words.path.lstrip('/')}", "5"], timeout=15),
                end="",
            )
        case "control":
            return control.execute(lab, words.command)
        case "selftest":
            os.execvp(sys.executable, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(SOURCE)])
        case "probe-start":
            probe.start(lab, words.out, words.guest, store=words.store)
        case "probe-stop":
            probe.stop(lab)
        case "probe-report":
            result = probe.report(words.dir, since=words.since, event=words.event, clock=words.clock)
        case "check":
            result = checker.check(lab, words.host, words.image, words.acks, disk=words.disk, live=words.live)
    if result is not None:
        print(json.dumps(result, indent=1))
    return 1 if isinstance(result, dict) and result.get("ok") is False else 0
