# SPDX-License-Identifier: GPL-3.0-or-later
"""The QMP sequences of the modules, sent bare: what a person with every command prepared would need at the least.

Runs on a host of the lab, fed to its Python: bare.py listen|protect|promote DOMAIN ADDRESS PEER. It observes nothing,
checks nothing, writes nothing down and mends nothing; one disk (vda), one NIC (net0), ports from 21600. The clock
starts with the connection to libvirt open and all names known. Prints JSON: `ms` in all, and the time of every command.
"""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import libvirt
import libvirt_qemu
from lxml import etree

FIRST_PORT = 21600
MIGRATION, NBD, MIRROR, COMPARE = range(FIRST_PORT, FIRST_PORT + 4)
IOTHREAD = 990
POLL = 0.005
UNDERSCORED = ("vnet_hdr_support", "primary_in", "secondary_in")  # the others of QMP's names have hyphens
DEADLINE = 120


class Bare:
    def __init__(self, name, address, peer):
        began = time.monotonic()
        libvirt.registerErrorHandler(lambda *unused: None, None)
        libvirt.virEventRegisterDefaultImpl()
        self.connection = libvirt.open("qemu:///system")
        self.domain = self.connection.lookupByName(name)
        self.connecting = time.monotonic() - began
        self.address, self.peer = address, peer
        self.uuid = self.domain.UUIDString()
        self.times = []
        self.events = []

    def qmp(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = {
                key if key in UNDERSCORED else key.replace("_", "-"): value for key, value in arguments.items()
            }
        began = time.monotonic()
        reply = json.loads(libvirt_qemu.qemuMonitorCommand(self.domain, json.dumps(request), 0))
        if not command.startswith("query-"):
            self.times.append([command, round((time.monotonic() - began) * 1000, 2)])
        if "error" in reply:
            sys.exit(f"{command}: {reply['error']['desc']}")
        return reply["return"]

    def run(self, *words):
        began = time.monotonic()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        self.times.append([" ".join(words[:2]), round((time.monotonic() - began) * 1000, 2)])

    def until(self, what, reached):
        began = time.monotonic()
        while not reached():
            if time.monotonic() - began > DEADLINE:
                sys.exit(f"{what}: not within {DEADLINE} s")
            time.sleep(POLL)
        self.times.append([what, round((time.monotonic() - began) * 1000, 2)])

    def watch(self):
        def loop():
            while True:
                libvirt.virEventRunDefaultImpl()

        def keep(_connection, _domain, name, *_rest):
            self.events.append(name)

        threading.Thread(target=loop, daemon=True).start()
        libvirt_qemu.qemuMonitorEventRegister(self.connection, self.domain, None, keep, None, 0)

    def tree(self):
        return etree.fromstring(self.domain.XMLDesc())

    def permit(self):
        """Let libvirt's hook of the role host pass the start that follows, as the modules do."""
        directory = pathlib.Path("/run/lockstep-colo")
        directory.mkdir(mode=0o700, exist_ok=True)
        (directory / self.uuid).write_text(str(os.getpid()), encoding="ascii")

    def tap(self):
        return self.tree().find("devices/interface/target").get("dev")

    def slide_in(self, alias, size, layers):
        """The parking swap: layers under the disk of a guest, which stands still meanwhile if it runs."""
        running = self.domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        park = {"driver": "null-co", "node-name": "colo-vda-park-file", "size": size, "read-zeroes": True}
        errors = [
            {"event": "none", "iotype": kind, "errno": 5}
            for kind in ("read", "write", "write-zeroes", "discard", "flush")
        ]
        device = {"path": f"/machine/peripheral/{alias}", "property": "drive"}
        self.qmp("blockdev-add", driver="blkdebug", node_name="colo-vda-park", image=park, inject_error=errors)
        if running:
            self.qmp("stop")
        self.qmp("qom-set", **device, value="colo-vda-park")
        for layer in layers:
            self.qmp("blockdev-add", **layer)
        self.qmp("qom-set", **device, value="colo-vda")
        if running:
            self.qmp("cont")
        self.qmp("blockdev-del", node_name="colo-vda-park")

    def disk(self):
        alias = self.tree().find("devices/disk[@device='disk']/alias").get("name")
        node = self.qmp("qom-get", path=f"/machine/peripheral/{alias}", property="drive")
        sizes = {item["node-name"]: item["image"]["virtual-size"] for item in self.qmp("query-named-block-nodes")}
        return alias, node, sizes[node]

    def socket(self, name, address, **options):
        self.qmp("chardev-add", id=name, backend={"type": "socket", "data": {"addr": address, **options}})

    def object(self, kind, name, **properties):
        extra = {} if kind == "colo-compare" else {"netdev": "hostnet0"}
        self.qmp("object-add", qom_type=kind, id=name, **{**extra, "vnet_hdr_support": True, **properties})


def inet(host, port):
    return {"type": "inet", "data": {"host": host, "port": str(port)}}


def quorum(child):
    return {
        "driver": "quorum",
        "node-name": "colo-vda",
        "vote-threshold": 1,
        "read-pattern": "fifo",
        "children": [child],
    }


def capabilities(bare, *names):
    bare.qmp("migrate-set-capabilities", capabilities=[{"capability": name, "state": True} for name in names])


def listen(bare):
    def overlay(name, backing):
        file = {"driver": "file", "node-name": f"colo-vda-{name}-file", "filename": f"{home}/vda.{name}.qcow2"}
        return {"driver": "qcow2", "node-name": f"colo-vda-{name}", "file": file, "backing": backing}

    home = f"/var/lib/libvirt/images/colo/libvirt-{bare.uuid}"
    bare.permit()
    began = time.monotonic()
    bare.domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    bare.times.append(["start", round((time.monotonic() - began) * 1000, 2)])
    alias, node, size = bare.disk()
    bare.run("ip", "link", "set", "dev", bare.tap(), "down")
    replication = {"driver": "replication", "node-name": "colo-vda-replication", "mode": "secondary"}
    replication |= {"top-id": "colo-vda", "file": "colo-vda-active"}
    layers = [
        overlay("hidden", node),
        overlay("active", "colo-vda-hidden"),
        replication,
        quorum("colo-vda-replication"),
    ]
    bare.slide_in(alias, size, layers)
    bare.socket("colo-net0-red-in", inet(bare.peer, MIRROR), server=False, reconnect=1)
    bare.socket("colo-net0-red-out", inet(bare.peer, COMPARE), server=False, reconnect=1)
    bare.object("filter-redirector", "colo-net0-f-red-in", queue="tx", indev="colo-net0-red-in")
    bare.object("filter-redirector", "colo-net0-f-red-out", queue="rx", outdev="colo-net0-red-out")
    bare.object("filter-rewriter", "rewriter-net0", queue="all")
    capabilities(bare, "x-colo")
    bare.qmp("nbd-server-start", addr=inet(bare.address, NBD))
    bare.qmp(
        "block-export-add", type="nbd", id="colo-vda-export", name="colo-vda-export", node_name=node, writable=True
    )
    bare.qmp("migrate-incoming", uri=f"tcp:{bare.address}:{MIGRATION}")
    return time.monotonic() - began


def protect(bare):
    def unix(name):
        return {"type": "unix", "data": {"path": f"/var/lib/libvirt/qemu/colo-{bare.uuid}-net0-{name}"}}

    def job(*statuses):
        return lambda: any(j["id"] == "sync" and j["status"] in statuses for j in bare.qmp("query-jobs"))

    def migration(status):
        return lambda: bare.qmp("query-migrate").get("status") == status

    bare.watch()
    alias, node, size = bare.disk()
    bare.times.clear()
    began = time.monotonic()
    bare.domain.addIOThread(IOTHREAD, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    bare.socket("colo-net0-mirror", inet(bare.address, MIRROR), server=True, wait=False)
    bare.socket("colo-net0-compare-in", inet(bare.address, COMPARE), server=True, wait=False)
    for name in ("loop-in", "loop-out"):
        bare.socket(f"colo-net0-{name}", unix(name), server=True, wait=False)
        bare.socket(f"colo-net0-{name}-client", unix(name), server=False)
    bare.slide_in(alias, size, [quorum(node)])
    server = {"type": "inet", "host": bare.peer, "port": str(NBD)}
    bare.qmp("blockdev-add", driver="nbd", node_name="colo-vda-nbd", server=server, export="colo-vda-export")
    mirror = {"device": "colo-vda", "target": "colo-vda-nbd", "sync": "full"}
    bare.qmp("blockdev-mirror", job_id="sync", auto_dismiss=False, **mirror)
    bare.until("full sync", job("ready"))
    capabilities(bare, "x-colo", "pause-before-switchover")
    bare.qmp("migrate-set-parameters", x_checkpoint_delay=2000)
    bare.qmp("migrate", uri=f"tcp:{bare.peer}:{MIGRATION}")
    bare.until("memory", migration("pre-switchover"))
    bare.qmp("block-job-cancel", device="sync")
    bare.until("end of the sync", job("concluded"))
    replication = {"driver": "replication", "node-name": "colo-vda-replication", "mode": "primary"}
    bare.qmp("blockdev-add", **replication, file="colo-vda-nbd")
    bare.qmp("x-blockdev-change", parent="colo-vda", node="colo-vda-replication")
    bare.qmp("job-dismiss", id="sync")
    bare.object("filter-mirror", "colo-net0-f-mirror", queue="tx", outdev="colo-net0-mirror")
    bare.object("filter-redirector", "colo-net0-f-out", queue="rx", indev="colo-net0-loop-out")
    bare.object("filter-redirector", "colo-net0-f-in", queue="rx", outdev="colo-net0-loop-in")
    ends = {"primary_in": "colo-net0-loop-in-client", "secondary_in": "colo-net0-compare-in"}
    ends |= {"outdev": "colo-net0-loop-out-client", "iothread": f"iothread{IOTHREAD}"}
    bare.object("colo-compare", "colo-net0-compare", **ends)
    bare.qmp("migrate-continue", state="pre-switchover")
    bare.until("lockstep", migration("colo"))
    seen = len(bare.events)

    def checkpoint():
        later = bare.events[seen:]
        return "STOP" in later and "RESUME" in later[later.index("STOP") :]

    bare.until("a whole checkpoint", checkpoint)
    return time.monotonic() - began


def promote(bare):
    """As far as the guest is free to serve, no farther; `ss --kill` first, as the module does."""
    tap = bare.tap()
    ports = " or ".join(f"sport = :{port} or dport = :{port}" for port in (MIGRATION, NBD, MIRROR, COMPARE))
    began = time.monotonic()
    bare.run("ss", "--kill", "--no-header", "--tcp", "--numeric", f"dst {bare.peer} and ( {ports} )")
    bare.qmp("nbd-server-stop")
    bare.qmp("x-colo-lost-heartbeat")
    bare.qmp("object-del", id="colo-net0-f-red-in")
    bare.qmp("object-del", id="colo-net0-f-red-out")
    bare.run("ip", "link", "set", "dev", tap, "up")
    spent = time.monotonic() - began
    bare.qmp("announce-self", initial=50, max=550, rounds=5, step=100)
    return spent


def main():
    verb, name, address, peer = sys.argv[1:]
    bare = Bare(name, address, peer)
    seconds = {"listen": listen, "protect": protect, "promote": promote}[verb](bare)
    connecting = round(bare.connecting * 1000, 2)
    print(json.dumps({"ms": round(seconds * 1000, 2), "connect_ms": connecting, "times": bare.times}))


main()
