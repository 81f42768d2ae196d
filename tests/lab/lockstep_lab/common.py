# SPDX-License-Identifier: GPL-3.0-or-later
"""What every other module shares: where things lie, how commands run, how progress is told."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).resolve().parent.parent
HOSTS = {"kvm1": "10.77.0.1", "kvm2": "10.77.0.2"}
WITNESS = "witness"  # a third host, bare, for the quorum device of a cluster: see cluster.py
ADDRESSES = {**HOSTS, WITNESS: "10.77.0.3"}
CLIENT_ADDRESS = "10.77.0.100"
CLIENT_ADDRESS_2 = "10.77.1.100"
CLIENT_ADDRESS_6 = "fd77::100"
GUEST_ADDRESS = "10.77.0.50"
GUEST_ADDRESS_6 = "fd77::50"
ACK_PORT = 7777
STORE_PORT = 7710  # of disk 0

_started = time.monotonic()


class LabError(Exception):
    """Something the user has to know about, in one sentence."""


def say(message: str) -> None:
    """Tell the user which stage begins or ended, with the seconds since the command began."""
    print(f"[{time.monotonic() - _started:6.1f}s] {message}", file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    *,
    timeout: float = 60,
    check: bool = True,
    stdin: str | None = None,
    env: dict[str, str] | None = None,
    log: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command with a deadline; an error becomes a LabError that quotes the end of its output."""
    words = [str(word) for word in command]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}
    feed: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        done = subprocess.run(
            words,
            timeout=timeout,
            text=True,
            errors="replace",
            capture_output=True,
            env=environment,
            check=False,
            **feed,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"no end after {timeout:g} s: {' '.join(words)[:300]}") from error
    except FileNotFoundError as error:
        raise LabError(f"command not found: {words[0]}") from error
    if log:
        with log.open("a", encoding="utf-8") as handle:
            handle.write(f"$ {' '.join(words)[:2000]}\n{done.stdout}{done.stderr}\n")
    if check and done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise LabError(f"exit {done.returncode}: {' '.join(words)[:300]}\n{tail}")
    return done


@dataclass(frozen=True)
class Lab:
    """One lab: its name is the prefix of everything it makes outside its directory."""

    name: str = "colo-lab"
    directory: Path = field(default_factory=lambda: Path(os.environ.get("LOCKSTEP_LAB_DIR") or "/var/lib/lockstep-lab"))

    @property
    def cache(self) -> Path:
        """What may be kept between labs: layers, packages, the guest's kernel."""
        return self.directory / "cache"

    @property
    def state(self) -> Path:
        """What belongs to this lab while it is up: hosts' disks, ssh key, inventory."""
        return self.directory / "labs" / self.name

    @property
    def inventory(self) -> Path:
        return self.state / "hosts.yml"

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh_config"

    @property
    def lan_ns(self) -> str:
        return f"{self.name}-lan"

    @property
    def client_ns(self) -> str:
        return f"{self.name}-client"

    def host_ns(self, host: str) -> str:
        """The network namespace (and cgroup, and machine) name of a host."""
        return f"{self.name}-{host}"

    def host_dir(self, host: str) -> Path:
        return self.state / "hosts" / host

    def host_root(self, host: str) -> Path:
        """The host's file system as the control node sees it, also while the host is powered off."""
        return self.host_dir(host) / "root"

    def facts(self) -> dict[str, Any]:
        """What `up` wrote down: mode, accelerator."""
        try:
            return dict(json.loads((self.state / "lab.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise LabError(f"the lab {self.name} is not up; run `lab up`") from None

    def is_bare(self, host: str) -> bool:
        """Whether a host begins with ssh and Python alone."""
        return host == WITNESS or bool(self.facts()["bare"])

    def remember(self, **facts: Any) -> None:
        """Add to what `up` wrote down."""
        path = self.state / "lab.json"
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        write(path, json.dumps({**old, **facts}, indent=1) + "\n")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One hand at a time; the kernel frees the lock when its holder dies."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / ".lock").open("w", encoding="utf-8") as handle:
            deadline = time.monotonic() + 300
            told = False
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not told:
                        say("another lab command is at work; waiting for it")
                        told = True
                    if time.monotonic() > deadline:
                        raise LabError("another lab command holds the lock for over 300 s") from None
                    time.sleep(0.2)
            yield


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file through a temporary one, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(mode)
    temporary.replace(path)


def remove_tree(path: Path) -> None:
    """Remove a tree, refusing to touch one that still has something mounted in it."""
    if not path.exists():
        return
    mounted = [m for m in mounts() if m == str(path) or m.startswith(f"{path}/")]
    if mounted:
        raise LabError(f"not removing {path}: still mounted: {', '.join(mounted)}")
    shutil.rmtree(path)


def mounts() -> list[str]:
    """Mount points of this mount namespace, in the order in which they were made."""
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return [line.split()[1].replace("\\040", " ") for line in lines]


TOOLS = {  # command -> Debian package
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nft": "nftables",
    "busybox": "busybox-static",
    "gcc": "gcc",
    "qemu-img": "qemu-utils",
    "nc": "netcat-openbsd",
    "ssh": "openssh-client",
    "ping": "iputils-ping",
    "dpkg-deb": "dpkg",
    "mkfs.ext4": "e2fsprogs",
    "unshare": "util-linux",
}


def ensure_tools() -> None:
    """Install, with apt-get, what the control node is missing."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes namespaces and mounts")
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if not Path("/usr/include/stdio.h").exists():
        missing.append("libc6-dev")
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        missing.append("debian-archive-keyring")
    if missing:
        say(f"installing Debian packages that the lab needs: {' '.join(missing)}")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "-q", "update"], timeout=180, env=quiet)
        run(["apt-get", "-q", "-y", "--no-install-recommends", "install", *missing], timeout=600, env=quiet)
