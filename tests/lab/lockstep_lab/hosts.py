# SPDX-License-Identifier: GPL-3.0-or-later
"""The two hosts, be they containers (container.py) or VM instances (instance.py): what can be done with and to them.

A host is a directory with its disk, a link on the LAN, a cgroup, and the processes in the cgroup.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from . import accel, container, diskimage, guestimage, instance, network, rootfs
from .common import ADDRESSES, HOSTS, Lab, LabError, remove_tree, run, say, write


def check_name(host: str) -> str:
    """Refuse what is not a host of the lab."""
    if host not in ADDRESSES:
        raise LabError(f"no host {host!r}; hosts are {', '.join(ADDRESSES)}")
    return host


# --- cgroups ---------------------------------------------------------------------------------------------------------


def _cgroup_mounts() -> tuple[Path, list[Path]]:
    """The cgroup2 mount, and the mounts in which systemd wants a group of its own."""
    unified, named = None, []
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, kind, options = line.split()[:4]
        if kind == "cgroup2" and unified is None:
            unified = Path(point)
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            named.append(Path(point))
    if unified is None:
        raise LabError("no cgroup2 hierarchy is mounted; hosts could be neither stopped nor frozen")
    return unified, [unified, *named]


def _cgroup(lab: Lab, host: str) -> Path:
    return _cgroup_mounts()[0] / lab.host_ns(host)


def running(lab: Lab, host: str) -> bool:
    """Whether any process of a host lives."""
    try:
        return "populated 1" in (_cgroup(lab, host) / "cgroup.events").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def processes(lab: Lab, host: str, program: str) -> list[int]:
    """This machine's ids of a container's processes whose name begins so; the kernel keeps 15 characters of a name."""
    found = []
    for listed in _cgroup(lab, host).rglob("cgroup.procs"):
        for process in map(int, listed.read_text(encoding="ascii").split()):
            try:
                name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8")
            except (FileNotFoundError, ProcessLookupError):  # it has just ended
                continue
            if name.startswith(program):
                found.append(process)
    return found


def frozen(lab: Lab, host: str) -> bool:
    """Whether a host's processes are frozen."""
    try:
        return (_cgroup(lab, host) / "cgroup.freeze").read_text(encoding="utf-8").strip() == "1"
    except FileNotFoundError:
        return False


def _remove_cgroups(lab: Lab, host: str) -> None:
    for hierarchy in _cgroup_mounts()[1]:
        top = hierarchy / lab.host_ns(host)
        for directory, _, _ in os.walk(top, topdown=False):
            for _ in range(20):
                try:
                    Path(directory).rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.05)


# --- one host --------------------------------------------------------------------------------------------------------


def _machine(lab: Lab) -> ModuleType:
    """The module that knows what the hosts of this lab are."""
    return instance if lab.facts().get("instances") else container


def boot(lab: Lab, host: str) -> None:
    """Start a host and wait until it can be worked with."""
    machine = _machine(lab)
    if not running(lab, host):
        say(f"{host}: starting")
        machine.prepare(lab, host)
        _start(lab, host, machine.command(lab, host), machine.ENVIRONMENT)
    _wait(lab, host, bare=lab.is_bare(host), timeout=machine.BOOT_TIMEOUT)


def _start(lab: Lab, host: str, command: list[str], environment: dict[str, str]) -> None:
    _remove_cgroups(lab, host)
    groups = [hierarchy / lab.host_ns(host) for hierarchy in _cgroup_mounts()[1]]
    for group in groups:
        group.mkdir(exist_ok=True)
    # The shell joins the groups and becomes the host, so that no process of the host is ever outside them.
    join = "".join(f"echo $$ > '{group}/cgroup.procs' && " for group in groups) + 'exec "$@"'
    with (lab.host_dir(host) / "console.log").open("ab") as console:
        subprocess.Popen(
            ["sh", "-c", join, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    deadline = time.monotonic() + 5
    while not running(lab, host) and time.monotonic() < deadline:
        time.sleep(0.01)  # until the shell has joined the groups


def _wait(lab: Lab, host: str, *, bare: bool, timeout: float) -> None:
    """Until ssh answers, br0 has its address and libvirtd serves."""
    tests = f"ip -br address show br0 | grep -q {ADDRESSES[host]}/"
    if not bare:
        tests += " && virsh -q -c qemu:///system version >/dev/null"
    deadline = time.monotonic() + timeout
    answer = ""
    while time.monotonic() < deadline:
        if not running(lab, host):
            raise LabError(f"{host} died while booting:\n{_console(lab, host)}")
        if frozen(lab, host):
            raise LabError(f"{host} is frozen; thaw it first")
        if not network.joined(lab, host):
            raise LabError(f"{host} is cut off; mend it first")
        try:
            done = ssh(lab, host, tests, timeout=20, check=False)
        except LabError as error:
            answer = str(error)
            continue
        if done.returncode == 0:
            say(f"{host}: up (ssh{'' if bare else ', libvirtd'}, br0 {ADDRESSES[host]})")
            return
        answer = (done.stdout + done.stderr).strip()
        time.sleep(0.3)
    raise LabError(f"{host} did not come up within {timeout:g} s: {answer}\n{_console(lab, host)}")


def _console(lab: Lab, host: str) -> str:
    path = lab.host_dir(host) / "console.log"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    return "\n".join(lines[-15:])


def ssh_command(lab: Lab, host: str) -> list[str]:
    """The words that reach a host by ssh."""
    return ["ssh", "-F", str(lab.ssh_config), check_name(host)]


def ssh(
    lab: Lab, host: str, command: str, *, timeout: float = 60, check: bool = True, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a host."""
    return run([*ssh_command(lab, host), command], timeout=timeout, check=check, stdin=stdin)


def fetch(lab: Lab, host: str, source: str, target: Path) -> None:
    """Copy a file from a host."""
    run(["scp", "-q", "-F", lab.ssh_config, f"{check_name(host)}:{source}", target], timeout=300)


# --- what can happen to a host ---------------------------------------------------------------------------------------


def power_off(lab: Lab, host: str) -> None:
    """As silent as a loss of power: cut from the LAN first, then every process killed at once."""
    if not running(lab, host):
        say(f"{host}: is off already")
    else:
        network.cut(lab, host, carrier=True)
        _kill(lab, host)
        say(f"{host}: powered off; its disk is kept")
    network.remove_host(lab, host)
    _remove_cgroups(lab, host)
    # Ansible's shared connections to a host that is gone would be taken for good ones by the next run.
    for socket in (lab.state / "cp").glob("*"):
        socket.unlink(missing_ok=True)


def _kill(lab: Lab, host: str) -> None:
    group = _cgroup(lab, host)
    (group / "cgroup.kill").write_text("1", encoding="utf-8")
    if frozen(lab, host):
        (group / "cgroup.freeze").write_text("0", encoding="utf-8")
    deadline = time.monotonic() + 20
    while running(lab, host):
        if time.monotonic() > deadline:
            raise LabError(f"processes of {host} outlived cgroup.kill: see {group}/cgroup.procs and its children")
        time.sleep(0.02)


def power_on(lab: Lab, host: str) -> None:
    """Boot a host again from the disk it had."""
    if running(lab, host):
        say(f"{host}: is on already")
    boot(lab, host)


def set_frozen(lab: Lab, host: str, value: bool) -> None:
    """Stop or continue all processes of a host; its kernel goes on answering pings and acknowledging TCP."""
    if not running(lab, host):
        raise LabError(f"{host} is off")
    group = _cgroup(lab, host)
    (group / "cgroup.freeze").write_text(str(int(value)), encoding="utf-8")
    deadline = time.monotonic() + 10
    while f"frozen {int(value)}" not in (group / "cgroup.events").read_text(encoding="utf-8"):
        if time.monotonic() > deadline:
            raise LabError(f"{host} did not become {'frozen' if value else 'thawed'} within 10 s")
        time.sleep(0.01)
    say(f"{host}: {'frozen' if value else 'thawed'}")


def set_cut(lab: Lab, host: str, value: bool, *, carrier: bool = False) -> None:
    """Separate a host from the LAN, or join it again."""
    if not running(lab, host):
        raise LabError(f"{host} is off")
    if value:
        network.cut(lab, host, carrier=carrier)
    else:
        network.mend(lab, host)
    say(f"{host}: {'cut off from' if value else 'joined to'} the LAN")


# --- both hosts ------------------------------------------------------------------------------------------------------


def both(action: Callable[[str], None], of: Iterable[str] = HOSTS) -> None:
    """Do something to both hosts, or those ``of`` a list, at the same time."""
    with ThreadPoolExecutor(len(ADDRESSES)) as pool:
        for done in [pool.submit(action, host) for host in of]:
            done.result()


def up(lab: Lab, *, bare: bool, instances: str | None = None, suite: str = rootfs.SUITE) -> None:
    """Build what is missing and boot both hosts: containers, or bare VM instances of a Debian suite, or of two.

    ``suite`` is one of rootfs.SUITES, for containers; what instances need of containers' layers is of the first.
    """
    if suite not in rootfs.SUITES:
        raise LabError(f"no suite {suite!r} for hosts; there are {', '.join(rootfs.SUITES)}")
    suite = rootfs.SUITE if instances else suite
    kind: dict[str, object] = {"bare": bare or instances is not None, "instances": instances, "suite": suite}
    if any(running(lab, host) for host in HOSTS):
        there = {key: lab.facts().get(key) for key in kind}
        if there != kind:
            raise LabError(f"the lab is up as {there}, and {kind} is wanted; run `lab down` first")
    lab.state.mkdir(parents=True, exist_ok=True)
    rootfs.build(lab, suite)
    guestimage.build(lab)
    layers = [str(path) for path in rootfs.stack(lab, bare=bare, suite=suite)]
    if instances:
        for suite in instances.split(","):
            diskimage.build(lab, suite)
        images = {host: str(image) for host, image in diskimage.of_hosts(lab, instances).items()}
        kind["images"] = images
        layers += dict.fromkeys(images.values())
    stale = (lab.state / "lab.json").exists() and lab.facts().get("layers") != layers
    if stale and not any(running(lab, host) for host in HOSTS):
        say("the hosts' disks belong to other layers; starting from fresh ones")
        _forget(lab)
        lab.state.mkdir(parents=True)
    works = accel.kvm_works(lab)
    # In instances KVM works even where it does not on this machine.
    lab.remember(name=lab.name, layers=layers, machine_kvm=works, kvm=works or instances is not None, **kind)
    _access(lab)
    network.make_lan(lab)
    both(lambda host: boot(lab, host))
    say(f"the lab is up: inventory {lab.inventory}, ssh configuration {lab.ssh_config}")


def _access(lab: Lab) -> None:
    """The key, the ssh configuration and the inventory with which the control node reaches the hosts."""
    key = lab.state / "key"
    if not key.exists():
        run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-C", lab.name, "-f", key])
    patience = 30 if lab.facts().get("instances") else 5  # seconds; an emulated host may be busy for long
    entries = "".join(f"Host {host}\n  HostName {address}\n" for host, address in ADDRESSES.items())
    write(
        lab.ssh_config,
        f"{entries}Host *\n  User root\n  IdentityFile {key}\n  IdentitiesOnly yes\n  StrictHostKeyChecking no\n"
        f"  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n  ConnectTimeout {patience}\n"
        f"  ServerAliveInterval {patience}\n  ServerAliveCountMax 3\n"
        f"  ProxyCommand ip netns exec {lab.client_ns} nc %h %p\n",
    )
    # Bookworm's QEMU withholds large packets that come encrypted, and is refused without a choice.
    of_suites = f"{lab.facts()['suite']} {lab.facts().get('instances')}"
    tls = "    colo_tls: except_proxy\n" if rootfs.OLDER in of_suites else ""
    qemu = "    colo_qemu_from: backports\n" if lab.facts()["suite"] == rootfs.BACKPORTS else ""
    hosts = "".join(
        f"    {host}: {{ansible_host: {address}, colo_address: {address}}}\n" for host, address in HOSTS.items()
    )
    write(
        lab.inventory,
        f"""---
kvm:
  hosts:
{hosts}  vars:
    ansible_user: root
    ansible_ssh_common_args: -F {lab.ssh_config}
    ansible_control_path_dir: {lab.state / "cp"}
    ansible_python_interpreter: /usr/bin/python3
{qemu}{tls}colo_pairs:
  hosts:
    web1: {{colo_primary: kvm1, colo_secondary: kvm2, colo_disks: [{{target: vda, format: qcow2}}]}}
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
    colo_report_directory: {lab.state / "reports"}
{tls}""",
    )


def _forget(lab: Lab) -> None:
    """Remove the hosts' disks and everything else that `up` made."""
    for host in ADDRESSES:
        rootfs.unmount_tree(lab.host_root(host))
    remove_tree(lab.state)


def down(lab: Lab, *, purge: bool) -> None:
    """Remove the lab without a trace; with `purge` the cache as well."""
    from . import probe

    probe.stop(lab, quiet=True)

    def stop(host: str) -> None:
        if running(lab, host):
            if lab.lan_ns in network.namespaces():
                network.cut(lab, host, carrier=True)
            _kill(lab, host)
        _remove_cgroups(lab, host)
        root = lab.host_root(host)
        if root.exists():
            seen = root.stat()
            Path(f"/run/systemd/nspawn/locks/inode-{seen.st_dev}:{seen.st_ino}").unlink(missing_ok=True)
        shutil.rmtree(f"/run/systemd/nspawn/propagate/{lab.host_ns(host)}", ignore_errors=True)
        shutil.rmtree(f"/run/systemd/nspawn/unix-export/{lab.host_ns(host)}", ignore_errors=True)

    both(stop, ADDRESSES)
    network.remove_all(lab)
    _forget(lab)
    say("the lab is down")
    if purge:
        if any((lab.directory / "labs").glob("*/lab.json")):
            raise LabError("another lab uses the cache; not purged")
        rootfs.unmount_tree(lab.cache)
        remove_tree(lab.cache)
        for path in (lab.directory / "labs", lab.directory):
            (path / ".lock").unlink(missing_ok=True)
            if path.exists() and not any(path.iterdir()):
                path.rmdir()
        say("the cache is purged")


def status(lab: Lab) -> dict[str, object]:
    """What there is, without changing anything."""
    try:
        facts = lab.facts()
    except LabError:
        return {"lab": lab.name, "up": False}
    hosts = {
        host: {
            "running": running(lab, host),
            "frozen": frozen(lab, host),
            "joined": network.joined(lab, host),
            "address": HOSTS[host],
            "root": str(lab.host_root(host)),
        }
        for host in HOSTS
    }
    on = all(state["running"] for state in hosts.values())
    return {
        "lab": lab.name,
        "up": on,
        **facts,
        "hosts": hosts,
        "inventory": str(lab.inventory),
        "ssh_config": str(lab.ssh_config),
    }
