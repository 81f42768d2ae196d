# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab with the collection at work on it: what the integration tests, molecule's verify and the long runs share."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep_lab import checker, guest, hosts, network, probe, rootfs
from lockstep_lab.common import HOSTS, Lab, LabError

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "tests" / "lab" / "lab"
UNFORESEEN = ROOT / "results" / "unforeseen.jsonl"  # a line for each run of a goal
DIRECTORY = "/var/lib/libvirt/images/colo"
BOOT_ID = "boot_id"
_BOOTS: dict[str, str] = {}  # by the lab's name, whoever has it in hand
VIRSH = "virsh -q -c qemu:///system"
OTHER = {"kvm1": "kvm2", "kvm2": "kvm1"}
ONE_DISK = guest.virtio_disks({"vda": "qcow2"})
TWO_DISKS = guest.virtio_disks({"vda": "qcow2", "vdb": "raw"})  # libvirt builds another graph for raw images


@dataclass(frozen=True)
class Run:
    """What a playbook said and how it ended."""

    code: int
    text: str
    seconds: float

    @property
    def changed(self) -> int:
        return sum(map(int, re.findall(r"changed=(\d+)", self.text)))

    def good(self) -> Run:
        assert self.code == 0, self.text[-6000:]
        return self

    def said(self) -> str:
        """The output with the terminal's line ends and the JSON quoting of diffs taken out."""
        return self.text.replace("\\n", "\n")


class Bed:
    """One lab, its inventory and the collection."""

    def __init__(self, name: str) -> None:
        self.lab = Lab(name)
        self.disks = ONE_DISK

    # the control node

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{ROOT}/.cache/venv/bin:{os.environ.get('PATH', os.defpath)}",
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT}/.cache/collections",
            "ANSIBLE_HOME": f"{ROOT}/.cache/home/.ansible",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "true",  # fewer connections for each task; the demonstration and molecule go without
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_CALLBACK_PLUGINS": f"{ROOT}/tests/integration/callback_plugins",
            "ANSIBLE_CALLBACKS_ENABLED": "unforeseen",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",  # of a single module as well
            "LOCKSTEP_UNFORESEEN": str(UNFORESEEN),
            "LOCKSTEP_LAB_NAME": self.lab.name,
            "LC_ALL": "C.UTF-8",
        }

    def playbook(
        self, name: str, *words: str, timeout: float = 900, variables: dict[str, dict[str, Any]] | None = None
    ) -> Run:
        """Run a playbook of the collection on the pair web1; ``variables`` are those of KVM hosts, by host."""
        return self._run(self.command(name, *words, variables=variables), timeout)

    def command(self, name: str, *words: str, variables: dict[str, dict[str, Any]] | None = None) -> list[str]:
        """The words that run such a playbook, from ROOT and in environment()."""
        inventory = self.lab.state / "pairs.yml"
        disks = [{"target": t, "format": self.formats[t]} for t in self.formats]
        groups = {"colo_pairs": {"hosts": {"web1": {"colo_disks": disks}}}, "kvm": {"hosts": variables or {}}}
        inventory.write_text(json.dumps(groups), encoding="utf-8")
        command = ["ansible-playbook", "-i", str(self.lab.inventory), "-i", str(inventory)]
        return [*command, f"lockstep.colo.{name}", *words]

    def _run(self, command: list[str], timeout: float) -> Run:
        began = time.monotonic()
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as run:
            try:
                text = run.communicate(timeout=timeout)[0]
            finally:
                kill_run(run)  # where it has not ended within its time
        return Run(run.returncode, text, round(time.monotonic() - began, 1))

    def deploy(self, *words: str) -> Run:
        """Deploy on hosts that are prepared already; words may widen that with their own --limit."""
        limit = () if "--limit" in words else ("--limit", "web1")
        return self.playbook("deploy", *limit, *words)

    def prepare(self, variables: dict[str, dict[str, Any]] | None = None) -> Run:
        """The role host alone, on both hosts: deploy wants a pair; ``variables`` are those of KVM hosts, by host."""
        play = {"hosts": "kvm", "gather_facts": False, "become": True, "roles": [{"role": "lockstep.colo.host"}]}
        path = self.lab.state / "prepare.yml"
        path.write_text(json.dumps([play]), encoding="utf-8")
        command = self.command("deploy", variables=variables)
        return self._run([*command[:-1], str(path)], 900)

    def failover(self, lost: str, *words: str, **options: Any) -> Run:
        return self.playbook("failover", "--limit", "web1", "-e", f"colo_fence_confirmed={lost}", *words, **options)

    def module(self, host: str, module: str, /, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Call one module on one host; its result, failed or not."""
        with tempfile.TemporaryDirectory() as tree:
            words = ["ansible", "-i", str(self.lab.inventory), host, "-m", f"lockstep.colo.{module}"]
            words += ["-a", json.dumps({"host": host, **arguments}), "-t", tree, *(["--check"] if check else [])]
            run = self._run(words, 180)
            path = Path(tree, host)
            assert path.exists(), run.text[-3000:]
            result = dict(json.loads(path.read_text(encoding="utf-8")))
            return {**result, "failed": run.code != 0}

    def modules(self, host: str, module: str, cases: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Call one module on one host for each case, in one run, whether it fails or not; the results by case."""
        with tempfile.TemporaryDirectory() as directory:
            tasks: list[dict[str, Any]] = [
                {
                    "name": case,
                    f"lockstep.colo.{module}": {"host": host, **arguments},
                    "register": f"case_{number}",
                    "ignore_errors": True,
                }
                for number, (case, arguments) in enumerate(cases.items())
            ]
            results = ", ".join(f"case_{number}" for number in range(len(cases)))
            answer = Path(directory, "results.json")
            write = {"content": f"{{{{ [{results}] | to_json }}}}", "dest": str(answer), "mode": "0600"}
            tasks.append({"ansible.builtin.copy": write, "delegate_to": "localhost", "connection": "local"})
            play = Path(directory, "cases.yml")
            play.write_text(json.dumps([{"hosts": host, "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
            self._run(["ansible-playbook", "-i", str(self.lab.inventory), str(play)], 900).good()
            return dict(zip(cases, json.loads(answer.read_text(encoding="utf-8")), strict=True))

    # the hosts

    def up(self, *, bare: bool = False, instances: str | None = None) -> None:
        suite = os.environ.get("LOCKSTEP_LAB_SUITE", rootfs.SUITE)
        with self.lab.lock():
            hosts.up(self.lab, bare=bare, instances=instances, suite=suite)

    def down(self) -> None:
        with self.lab.lock():
            hosts.down(self.lab, purge=False)

    def ssh(
        self, host: str, command: str, *, check: bool = True, stdin: str | None = None, timeout: float = 120
    ) -> str:
        return hosts.ssh(self.lab, host, command, check=check, stdin=stdin, timeout=timeout).stdout

    def send_core(self, host: str) -> None:
        """The core alone, without a module and without Ansible, to /root/core."""
        core = subprocess.run(["tar", "-cz", "-C", ROOT / "plugins", "module_utils"], check=True, capture_output=True)
        text = base64.b64encode(core.stdout).decode()
        self.ssh(host, "mkdir -p /root/core && base64 -d | tar -xz -C /root/core", stdin=text)

    def power_off(self, host: str) -> float:
        """Take the power from a host; the (monotonic) time at which it was taken."""
        with self.lab.lock():
            moment = time.monotonic()
            hosts.power_off(self.lab, host)
        return moment

    def power_on(self, host: str) -> None:
        with self.lab.lock():
            hosts.power_on(self.lab, host)

    def mend(self) -> None:
        """Both hosts on, thawed and on the LAN."""
        with self.lab.lock():
            for host in HOSTS:
                if hosts.running(self.lab, host):
                    hosts.set_frozen(self.lab, host, False)
                    hosts.set_cut(self.lab, host, False)
                else:
                    hosts.power_on(self.lab, host)

    # the guest

    @property
    def formats(self) -> dict[str, str]:
        """Formats by target."""
        return {disk.target: disk.format for disk in self.disks}

    def fresh_guest(
        self, *, disks: tuple[guest.Disk, ...] = ONE_DISK, nics: int = 1, rate: int = 0, **shape: Any
    ) -> None:
        """Both hosts as if no pair had ever been there, and a new guest that runs on kvm1; ``shape``: see Guest."""
        probe.stop(self.lab, quiet=True)
        self.mend()
        _BOOTS.pop(self.lab.name, None)
        with self.lab.lock():
            guest.remove(self.lab, "web1")
        for host in HOSTS:
            self.ssh(host, f"rm -rf {DIRECTORY}/*-*-*-*-*")
        self.disks = disks
        # Only instances have a vhost, which the collection refuses.
        vhost = not self.lab.facts().get("instances")
        with self.lab.lock():
            # One with a password, which has to reach the standby and nothing else.
            shape = {"graphics": guest.VNC_WITH_PASSWORD, **shape}
            wanted = guest.Guest(disks=disks, nics=nics, writer_rate=rate, vhost=vhost, **shape)
            guest.define(self.lab, "kvm1", wanted, start=True)
        guest.wait(self.lab, timeout=180)
        time.sleep(3)  # FACTS: a copy of a guest in the first seconds of its boot is no good test

    def get(self, path: str = BOOT_ID, *, patience: float = 10) -> str:
        """A page of the guest, as the client gets it."""
        words = ["get", f"http://10.77.0.50/{path}", f"{patience:g}"]
        answer = network.inside(self.lab, words, timeout=patience + 20).strip()
        if path == BOOT_ID:
            _BOOTS[self.lab.name] = answer
        return answer

    @property
    def boot(self) -> str | None:
        """Of the guest, as a client was told last; None of one that was never asked."""
        return _BOOTS.get(self.lab.name)

    def serves_from(self, host: str) -> bool:
        """Whether the guest is on the network there: of a standby the tap is down, and of none there is none."""
        script = f"""tap=$({VIRSH} domiflist web1 | awk 'NF {{print $1; exit}}'); ip -o link show up dev "$tap" """
        return bool(self.ssh(host, script, check=False).strip())

    def xml(self, host: str, *flags: str, name: str = "web1") -> str:
        return self.ssh(host, f"{VIRSH} dumpxml --security-info {' '.join(flags)} {name}")

    def qmp(self, host: str, *commands: str, name: str = "web1") -> list[Any]:
        """What QEMU answers to commands without arguments, or to JSON."""
        lines = []
        for command in commands:
            words = command if command.startswith("{") else json.dumps({"execute": command})
            lines.append(f"{VIRSH} qemu-monitor-command {name} {shlex.quote(words)}")
        answers = self.ssh(host, " && ".join(lines))
        decoder, found, at = json.JSONDecoder(), [], 0
        while at < len(answers.rstrip()):
            value, at = decoder.raw_decode(answers, at)
            found.append(value["return"])
            at += len(answers[at:]) - len(answers[at:].lstrip())
        return found

    def graph(self, host: str, name: str = "web1") -> dict[str, Any]:
        """QEMU's nodes (with their parents' files), objects, chardevs, exports, jobs and migration capabilities."""
        nodes, objects, chardevs, exports, jobs, capabilities, threads = self.qmp(
            host,
            "query-named-block-nodes",
            json.dumps({"execute": "qom-list", "arguments": {"path": "/objects"}}),
            "query-chardev",
            "query-block-exports",
            "query-jobs",
            "query-migrate-capabilities",
            "query-iothreads",
            name=name,
        )
        return {
            "nodes": {node["node-name"]: [node["drv"], node["file"]] for node in nodes},
            "objects": sorted(item["name"] for item in objects if item["type"] != "string"),
            "chardevs": sorted(item["label"] for item in chardevs),
            "exports": [item["id"] for item in exports],
            "jobs": [item["id"] for item in jobs],
            "capabilities": sorted(item["capability"] for item in capabilities if item["state"]),
            "iothreads": [item["id"] for item in threads],
        }

    def fingerprint(self, *, of: Iterable[str] = HOSTS, graph: bool = True) -> dict[str, Any]:
        """The hosts: domains' XML, files (with hashes, but for disks that are written to), QEMU's graph."""
        script = (
            f'for d in $({VIRSH} list --all --name); do echo "domain $d $({VIRSH} domstate $d) '
            f'$({VIRSH} dumpxml --inactive --security-info $d | sha256sum)"; done;'
            f" cd {guest.IMAGES} && find . -printf '%p %y %m %u:%g\\n' | sort;"
            " find . -type f ! -name 'web1-vd?.*' ! -path './colo/*/vd*' -exec sha256sum {} + | sort;"
            " ls /etc/libvirt/qemu /etc/libvirt/qemu/autostart 2>/dev/null;"
            " ss -Htln | awk '{print $4}' | grep :2[123] | sort"
        )
        # In lockstep a domain is paused for a moment at each checkpoint.
        seen: dict[str, Any] = {host: self.ssh(host, script).replace(" paused ", " running ") for host in of}
        return {**seen, "graph": self.graph("kvm1") if graph else None}

    def images(self, host: str, name: str = "web1") -> dict[str, str]:
        """Where the disks lie that the guest writes to."""
        lines = self.ssh(host, f"{VIRSH} domblklist --inactive {name}").splitlines()
        found = dict(line.split(None, 1) for line in lines if line.strip())
        return {target: found[target] for target in self.formats}

    def io_errors(self, host: str, name: str = "web1") -> int:
        """How many I/O errors the guest's kernel has told of on its console, while it was on that host."""
        return int(self.ssh(host, f"grep -ac 'I/O error, dev' /var/log/libvirt/qemu/{name}-console.log || true") or 0)

    def lost(self, host: str, acks: Path, *, live: bool = False) -> dict[str, Any]:
        """The checker's word on each disk of a guest that is shut off, or is said to be ``live``."""
        found = {}
        for number, (target, path) in enumerate(self.images(host).items()):
            found[target] = checker.check(self.lab, host, path.strip(), acks, disk=number, live=live)
        return found


def first_process(bed: Bed, host: str) -> int:
    """The host's PID 1, by the machine's numbers."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.joinpath("root").readlink() == Path("/") and _is_init(entry, bed.lab.host_ns(host)):
                return int(entry.name)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    raise AssertionError(f"{host} has no PID 1")


def _is_init(entry: Path, group: str) -> bool:
    spaces = [line for line in entry.joinpath("status").read_text().splitlines() if line.startswith("NSpid:")]
    numbers = spaces[0].split()[1:]
    return len(numbers) > 1 and numbers[-1] == "1" and f"/{group}" in entry.joinpath("cgroup").read_text()


def autopsy(bed: Bed, host: str, case: str) -> None:
    """What is left to be seen of a guest that should answer and does not, in results/logs: console and QEMU's view."""
    asked = "status", "registers -a", "lapic", "irq", "network", "block", "migrate", "virtio"
    script = [f"{VIRSH} domstate --reason web1", "tail -c 20000 /var/log/libvirt/qemu/web1-console.log"]
    ask = f"timeout 5 {VIRSH} qemu-monitor-command web1 --hmp info"  # a QEMU that hangs is worth a look as well
    script += [f"echo '== info {what}'; {ask} {what}" for what in asked]
    script += ["tail -n 60 /var/log/libvirt/qemu/web1.log", "ip -s link; bridge fdb"]
    logs = ROOT / "results" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    seen = bed.ssh(host, f"({'; '.join(script)}) 2>&1", check=False)  # the host may be what failed
    (logs / f"{case}.txt").write_text(seen + stacks(bed, host), encoding="utf-8")


def stacks(bed: Bed, host: str) -> str:
    """Where each thread of the host's QEMUs is, which tells what one that hangs waits for; nothing without a gdb."""
    if not shutil.which("gdb"):
        return ""
    told = []
    for process in hosts.processes(bed.lab, host, "qemu-system"):
        look = ["gdb", "-batch", "-iex", "set debuginfod enabled off", "-iex", f"set sysroot /proc/{process}/root"]
        words = [*look, "-p", str(process), "-ex", "thread apply all backtrace 40"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        told.append(f"\n== threads of {process}\n{done.stdout}")
    return "".join(told)


def kill_run(run: subprocess.Popen[Any]) -> None:
    """Kill a run and all that it has begun: each worker of Ansible has a session of its own, and would go on.

    Each process is stopped before its children are listed, so that none is begun meanwhile.
    """
    tree = [] if run.poll() is not None else [run.pid]
    for process in tree:
        _signal(process, signal.SIGSTOP)
        children = subprocess.run(["pgrep", "-P", str(process)], check=False, capture_output=True, text=True).stdout
        tree += map(int, children.split())
    for process in tree:
        _signal(process, signal.SIGKILL)


def _signal(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def wait_for(what: str, test: Any, timeout: float = 60) -> None:
    """Until test() is true; LabErrors on the way count as not yet."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = test()
            if last:
                return
        except LabError as error:
            last = error
        time.sleep(0.3)
    raise AssertionError(f"{what}: not within {timeout:g} s (last: {last})")
