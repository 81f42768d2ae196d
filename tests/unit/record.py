# SPDX-License-Identifier: GPL-3.0-or-later
"""Records what colo_info sees of a pair in every phase, and half-way between them, on a lab of its own.

    tests/lab/lab --name rec up
    .cache/venv/bin/python tests/unit/record.py rec [deploy]      deploy: up to lockstep, no losses
    tests/lab/lab --name rec down

The half-way states are made by carrying out the plan of colo_pair step
by step, and by looking in between: what a run that is killed there leaves behind.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / ".cache" / "collections"))

from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import from_data  # noqa: E402
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation  # noqa: E402
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair  # noqa: E402
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import (  # noqa: E402
    ENTRY_STEPS,
    STANDBY_STEPS,
    SYNC_STEPS,
)

FIXTURES = Path(__file__).parent / "fixtures"
NAME = "web1"
ADDRESS = {"kvm1": "10.77.0.1", "kvm2": "10.77.0.2"}
DISKS = [{"target": "vda", "format": "qcow2"}, {"target": "vdb", "format": "qcow2"}]
SLOW = 1 << 18  # bytes a second of a sync that is to be seen at work; holes take no time
EMULATOR = "/usr/bin/qemu-system-x86_64"
# Enumerations of query-qmp-schema that the fixture keeps, told by one member.
WITNESSES = ("raw", "iothread", "auto-converge")
SOCKET_WITNESS = "tn3270"  # of the object with a socket's options

# Runs on a host: observes, or carries out the plan of colo_pair with Apply itself and looks after each named step.
FOLLOWER = """
import json, sys, time
from dataclasses import replace
sys.path.insert(0, "/root/rec")
from module_utils.apply import steps as apply
from module_utils.domain import reading as domain
from module_utils.host.checkpoints import watch
from module_utils.host.hypervisor import Hypervisor
from module_utils.observation import codec
from module_utils.observation.depth import THOROUGH, UNASKED, Sights
from module_utils.observation import seen as observation
from module_utils.observe import look as observe
from module_utils.plan import listen as plan_standby
from module_utils.plan import protect as plan_primary
from module_utils.record.wanted import Wanted

given = json.load(sys.stdin)
hypervisor = Hypervisor("qemu:///system")
directory = Wanted().directory

def look(depth=THOROUGH, sights=Sights()):
    return observe.observe(hypervisor, given["domain"], directory, depth, sights, host_name=given["host"])

def tell(name, seen):
    data = codec.to_data(seen)
    del data["format"]  # a recording is read by every version
    for key in ("inactive_xml", "live_xml"):
        if data["domain"] and data["domain"][key]:
            data["domain"][key] = domain.redacted(data["domain"][key])
    print(json.dumps([name, data]), flush=True)

if "name" in given:
    seconds = given.get("watch", 0)
    counted = watch(hypervisor, given["domain"], seconds) if seconds else None
    tell(given["name"], replace(look(THOROUGH if given.get("monitor", True) else UNASKED), checkpoints=counted))
    sys.exit()
peer = codec.from_data(observation.Observation, given["peer"])
half = plan_primary.primary if given["role"] == "primary" else plan_standby.secondary
plan = half(Wanted(sync_speed=given["speed"]), look(), peer)
hand = apply.Apply(hypervisor, given["domain"], time.monotonic())
names = given["names"]
for one in plan.steps:
    if one.arguments.get("until") == "ready":
        for job in one.arguments["jobs"]:
            hypervisor.qmp(given["domain"], "block-job-set-speed", {"device": job, "speed": 0})
    hand._carry_out(one)
    if one.title in names:
        tell(names.pop(one.title), look())
    if one.pivot or one.title == given["last"]:
        break
if names:
    sys.exit(f"no step {names} in {[one.title for one in plan.steps]}")
"""


class Recorder:
    def __init__(self, lab: str) -> None:
        self.lab_name = lab
        self.inventory = Path(os.environ.get("LOCKSTEP_LAB_DIR", "/var/lib/lockstep-lab"), "labs", lab, "hosts.yml")
        # Labs share addresses, and ansible names the sockets of its connections after them alone.
        self.sockets = tempfile.mkdtemp(prefix="rec")

    def lab(self, *arguments: str) -> str:
        command = [str(ROOT / "tests/lab/lab"), "--name", self.lab_name, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout

    def ssh(self, host: str, *command: str, stdin: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        configuration = self.inventory.with_name("ssh_config")
        return subprocess.Popen(
            ["ssh", "-F", str(configuration), host, *command], stdin=stdin, stdout=subprocess.PIPE, text=True
        )

    def output(self, host: str, command: str) -> str:
        with self.ssh(host, command) as process:
            return process.communicate()[0]

    def ansible(self, hosts: str, *words: str) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".cache/collections"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": self.sockets,
            "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "PATH": f"{ROOT}/.cache/venv/bin:{os.environ['PATH']}",
        }
        command = ["ansible", "-o", "-i", str(self.inventory), hosts, *words]
        return subprocess.run(command, env=env, check=False, capture_output=True, text=True)

    def prepare(self) -> None:
        """Both hosts as the role host leaves them."""
        done = self.ansible("kvm", "-b", "-m", "ansible.builtin.include_role", "-a", "name=lockstep.colo.host")
        if done.returncode:
            raise SystemExit(f"the role host: {done.stdout} {done.stderr}")

    def module(self, host: str, module: str, **arguments: Any) -> dict[str, Any]:
        given = json.dumps({"name": NAME, "host": host, **arguments})
        done = self.ansible(host, "-m", f"lockstep.colo.{module}", "-a", given)
        head, _arrow, body = done.stdout.partition(" => ")
        if "SUCCESS" not in head and "CHANGED" not in head:
            raise SystemExit(f"{module} on {host}: {done.stdout} {done.stderr}")
        return json.loads(body)

    def remote(self, host: str, **arguments: Any) -> None:
        """Run FOLLOWER on a host, where the core lies; store the observations that it prints."""
        given = json.dumps({"domain": NAME, "host": host, **arguments})
        with self.ssh(host, "virsh -q version >&2; python3", "-c", shlex.quote(FOLLOWER)) as process:
            out, _none = process.communicate(given)
        for line in out.splitlines():
            name, seen = json.loads(line)
            path = FIXTURES / "observations" / f"{name}.json"
            path.write_text(json.dumps(seen, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            print(f"{time.strftime('%X')} {name}: {pair.phase(from_data(Observation, seen))}", flush=True)
        if process.returncode:
            raise SystemExit(f"{host}: {arguments}")

    def record(self, name: str, host: str, **arguments: Any) -> None:
        self.remote(host, name=name, **arguments)

    def follow(self, role: str, host: str, peer: str, names: dict[str, str], last: str = "", speed: int = 0) -> None:
        """Carry out the plan of colo_pair up to step ``last``; after each title that is a key of ``names`` record.

        ``peer`` is the name of a recorded observation, or of a host to look at.
        """
        if peer in ADDRESS:  # with the passwords, which no fixture has
            seen = look(self, peer, secrets=True)["observation"]
        else:
            seen = json.loads((FIXTURES / "observations" / f"{peer}.json").read_text(encoding="utf-8"))
        self.remote(host, role=role, peer=seen, names=names, last=last, speed=speed)

    def send_core(self, host: str) -> None:
        with (
            subprocess.Popen(["tar", "-C", str(ROOT / "plugins"), "-c", "module_utils"], stdout=subprocess.PIPE) as tar,
            self.ssh(host, "rm -rf /root/rec; mkdir -p /root/rec; tar -C /root/rec -x", stdin=tar.stdout) as ssh,
        ):
            ssh.communicate()

    def schema(self) -> None:
        """The part of query-qmp-schema that emulator looks at."""
        commands = r"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-qmp-schema\"}\n{\"execute\":\"quit\"}\n"
        out = self.output(
            "kvm1", f'printf "{commands}" | {EMULATOR} -machine none -nodefaults -display none -qmp stdio'
        )
        replies = [json.loads(line) for line in out.splitlines()]
        schema = next(reply["return"] for reply in replies if isinstance(reply.get("return"), list))
        kept = [
            {"meta-type": "enum", "name": item["name"], "values": item["values"]}
            for item in schema
            if item["meta-type"] == "enum" and set(WITNESSES) & set(item["values"])
        ]
        kept += [
            {"meta-type": item["meta-type"], "name": item["name"]}
            for item in schema
            if item["meta-type"] in ("command", "event")
        ]
        kept += [
            {
                "meta-type": "object",
                "name": item["name"],
                "members": [{"name": member["name"]} for member in item["members"]],
            }
            for item in schema
            if item["meta-type"] == "object" and SOCKET_WITNESS in {member["name"] for member in item["members"]}
        ]
        version = replies[0]["QMP"]["version"]["qemu"]
        path = FIXTURES / f"qmp-schema-{version['major']}.{version['minor']}.json"
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    def sockets_of(self, host: str) -> None:
        for table in ("tcp", "tcp6"):
            text = self.output(host, f"cat /proc/net/{table}")
            (FIXTURES / f"proc-net-{table}.txt").write_text(text, encoding="ascii")


def look(lab: Recorder, host: str, **arguments: Any) -> dict[str, Any]:
    return lab.module(host, "colo_info", **arguments)


def describe(lab: Recorder, primary: str, secondary: str) -> None:
    lab.module(
        primary, "colo_disk", role="primary", disks=DISKS, tls="off", peer=look(lab, secondary),
        address=ADDRESS[primary], peer_address=ADDRESS[secondary],
    )  # fmt: skip
    source = look(lab, primary, secrets=True)
    lab.module(secondary, "colo_disk", role="secondary", disks=DISKS, peer=source)


def lockstep(lab: Recorder, primary: str, secondary: str) -> None:
    listening = lab.module(secondary, "colo_pair", role="secondary", peer=look(lab, primary, secrets=True))
    done = lab.module(primary, "colo_pair", role="primary", peer=listening)
    lab.module(secondary, "colo_pair", role="secondary", peer=done)


def fail_over(lab: Recorder, survivor: str, lost: str) -> None:
    lab.module(survivor, "colo_failover", fence={"host": lost, "proof": {"rc": 0}, "method": "lab power-off"})


def first_deploy(lab: Recorder) -> None:
    lab.record("unprotected-primary", "kvm1")
    lab.record("unprotected-secondary", "kvm2")
    describe(lab, "kvm1", "kvm2")
    lab.record("described-primary", "kvm1")
    lab.record("described-secondary", "kvm2")
    names = {"start the standby, paused, waiting for the guest": "started-secondary"}
    lab.follow("secondary", "kvm2", "kvm1", names)
    lab.follow("secondary", "kvm2", "described-primary", STANDBY_STEPS)
    lab.record("listening-secondary", "kvm2")
    lab.follow("primary", "kvm1", "listening-secondary", SYNC_STEPS, "disk vdb: copy everything to the standby", SLOW)
    lab.record("syncing-secondary", "kvm2")
    lab.follow("primary", "kvm1", "listening-secondary", ENTRY_STEPS, "wait for lockstep")
    lab.record("incomplete-secondary", "kvm2")
    lockstep(lab, "kvm1", "kvm2")


def lose(lab: Recorder, role: str) -> None:
    """Lose kvm1, and see kvm2: before QEMU is asked, asked though it may wait for the lost, and freed from that."""
    lab.lab("power-off", "kvm1")
    time.sleep(1)
    lab.record(f"degraded-unasked-{role}", "kvm2", monitor=False)
    lab.record(f"degraded-{role}", "kvm2")
    lab.output("kvm2", f"ss --kill --no-header --tcp dst {ADDRESS['kvm1']}")
    time.sleep(1)
    lab.record(f"released-{role}", "kvm2")


def losses(lab: Recorder) -> None:
    lab.record("protected-primary", "kvm1", watch=6)
    lab.record("protected-secondary", "kvm2")
    lab.sockets_of("kvm2")
    lab.lab("freeze", "kvm2")
    time.sleep(4)
    lab.record("peer-frozen-primary", "kvm1", watch=5)
    lab.lab("thaw", "kvm2")
    time.sleep(2)
    lab.record("thawed-primary", "kvm1", watch=6)

    lose(lab, "secondary")
    fail_over(lab, "kvm2", "kvm1")
    lab.record("failed-over-secondary", "kvm2")
    lab.lab("power-on", "kvm1")
    lab.record("stale-primary", "kvm1")

    describe(lab, "kvm2", "kvm1")
    lab.record("described-again-secondary", "kvm1")
    lab.record("described-again-primary", "kvm2")
    lockstep(lab, "kvm2", "kvm1")
    lab.record("protected-again-primary", "kvm2", watch=6)
    lab.record("protected-again-secondary", "kvm1")
    lose(lab, "primary")
    fail_over(lab, "kvm2", "kvm1")
    lab.record("failed-over-primary", "kvm2")
    lab.output("kvm2", f"virsh destroy {NAME}")
    lab.record("powered-off-primary", "kvm2")
    lab.lab("power-on", "kvm1")
    lab.record("stale-secondary", "kvm1")


def main() -> None:
    lab = Recorder(sys.argv[1])
    lab.prepare()
    lab.lab("guest-remove")
    lab.lab("guest-define", "kvm1", "--disks", "2", "--nics", "2", "--size", "64M", "--writer-rate", "50", "--start")
    lab.lab("guest-wait")
    lab.schema()
    for host in ADDRESS:
        lab.output(host, "rm -rf /var/lib/libvirt/images/colo/*")
        lab.send_core(host)
    first_deploy(lab)
    if "deploy" not in sys.argv[2:]:
        losses(lab)


if __name__ == "__main__":
    main()
