# SPDX-License-Identifier: GPL-3.0-or-later
"""Planted secrets are looked for in all that runs say, show and leave: results, diffs, reports, processes, files."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from colo_bed import ROOT, Bed, kill_run, wait_for
from lockstep_lab import rootfs
from lockstep_lab.common import HOSTS

PASSWORD = "pl4nted!"  # of VNC, which takes eight characters
SPICE = "planted-for-spice"
GRAPHICS = "".join(
    f"<graphics type='{kind}' port='-1' autoport='yes' listen='127.0.0.1' passwd='{word}'/>"
    for kind, word in (("vnc", PASSWORD), ("spice", SPICE))
)
# Of a change of sides, which each run makes anew; as JSON, JSON within JSON, YAML or Python spell it.
TOKEN = re.compile(r"token\W{1,8}[A-Za-z0-9]{40}\b")
# Where secrets belong: libvirt's own XML, and the keys' directory, and where the next one is made, which is root's.
LEFT = (
    "find /tmp /var/tmp /root /home /dev/shm /run /var/log /var/lib/lockstep-colo /var/lib/libvirt/qemu /etc"
    " -xdev -type f"
)
BELONG = r"^/etc/libvirt/|^/run/libvirt/|^/etc/lockstep-colo/pki(\.new)?/.*-key\.pem$"

WHOLE = ("--limit", "kvm,web1")
INSTALLS = "Put the certificate and its key in the place of those before"

pytestmark = pytest.mark.long


class Watch(threading.Thread):
    """Looks at the words and the environment of every process of this machine, and so of its hosts."""

    def __init__(self, secrets: list[str]) -> None:
        super().__init__(daemon=True)
        self._secrets, self._over, self.found, self.looked = [one.encode() for one in secrets], threading.Event(), [], 0

    def run(self) -> None:
        while not self._over.wait(0.05):
            for entry in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        text = (entry / name).read_bytes()
                        self.found += [f"{name} {text[:300]!r}" for secret in self._secrets if secret in text]
            self.looked += 1

    def end(self) -> list[str]:
        self._over.set()
        self.join()
        assert self.looked
        return self.found


def keys(bed: Bed) -> list[str]:
    """A line of each private key that the authority's directory has."""
    found = [path.read_text(encoding="ascii").splitlines()[1] for path in (bed.lab.state / "colo-ca").rglob("*key.pem")]
    assert len(found) == 1 + len(HOSTS)
    return found


@pytest.fixture(scope="module")
def secrets(lab: Bed) -> Iterator[list[str]]:
    for host in HOSTS:
        lab.ssh(host, f"apt-get install -q -y --no-install-recommends {' '.join(rootfs.DEVICES)}", timeout=300)
    lab.fresh_guest(rate=50, graphics=GRAPHICS)
    planted = [PASSWORD, SPICE, *keys(lab)]
    watch = Watch(planted)
    watch.start()
    yield planted
    assert watch.end() == []


def left_behind(bed: Bed, secrets: list[str]) -> dict[str, list[str]]:
    """Files of the hosts that have a secret, where none belongs."""
    words = "\n".join(secrets)
    script = (
        f"cat > /run/planted; {LEFT} -print0 | grep -zvE '{BELONG}|^/run/planted$' | xargs -0 grep -lFf /run/planted"
    )
    found = {host: bed.ssh(host, f"{script}; rm /run/planted", stdin=words, check=False) for host in HOSTS}
    return {host: text.split() for host, text in found.items()}


def test_nothing_is_said_by_runs_that_say_all(lab: Bed, secrets: list[str], tmp_path: Path) -> None:
    file, reports = tmp_path / "status.json", tmp_path / "reports"
    to = ("-e", f"colo_report_directory={reports}", "-e", f"colo_status_file={file}", "-vvv", "--diff")
    runs = [lab.deploy("--limit", "kvm,web1", "--check", *to), lab.deploy("--limit", "kvm,web1", *to)]
    standby = lab.xml("kvm2", "--inactive")
    runs += [lab.playbook(name, "--limit", "web1", *to) for name in ("switchover", "drill", "status")]
    lab.power_off("kvm2")
    runs.append(lab.failover("kvm2", *to))
    lab.power_on("kvm2")
    runs += [lab.deploy(*to), lab.playbook("unprotect", *to)]
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file in written
    assert len(written) > 3, "no reports were written"
    texts = {str(path): path.read_text(encoding="utf-8") for path in written}
    texts |= {f"run {number}": run.good().text for number, run in enumerate(runs)}
    assert not [name for name, text in texts.items() if any(secret in text for secret in secrets)]
    assert not [name for name, text in texts.items() if TOKEN.search(text)]
    assert {PASSWORD, SPICE} <= set(re.findall("passwd='(.*?)'", standby)), "it did not get what was planted"
    assert left_behind(lab, secrets) == {host: [] for host in HOSTS}


def test_a_run_that_is_killed_leaves_none(lab: Bed, secrets: list[str]) -> None:
    with subprocess.Popen(
        lab.command("deploy", "--limit", "web1"), cwd=ROOT, env=lab.environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as run:  # fmt: skip
        wait_for("the standby's images to be made", lambda: "Have the standby listen" in (run.stdout.readline() or ""))
        kill_run(run)
    assert left_behind(lab, secrets) == {host: [] for host in HOSTS}
    leftovers = [path for path in Path(lab.environment()["ANSIBLE_HOME"]).rglob("*") if path.is_file()]
    texts = [path.read_bytes() for path in leftovers]
    assert not [secret for secret in secrets if any(secret.encode() in text for text in texts)]
    lab.deploy().good()
    again = lab.deploy("-vvv").good()
    assert "Have the standby listen" not in again.text, "nothing was left to do, also for the passwords"
    assert not [secret for secret in secrets if secret in again.text]


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 2.0])
def test_a_run_that_is_killed_while_a_key_is_installed_leaves_none(
    lab: Bed, secrets: list[str], seconds: float
) -> None:
    """Also where Ansible's own modules go by files: that of the key is told not to."""
    lab.ssh("kvm2", "rm -rf /etc/lockstep-colo/pki")
    with subprocess.Popen(
        lab.command("deploy", *WHOLE), cwd=ROOT, env={**lab.environment(), "ANSIBLE_PIPELINING": "false"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    ) as run:  # fmt: skip
        said = []
        installs = any(said.append(line) or INSTALLS in line for line in run.stdout)
        time.sleep(seconds)
        kill_run(run)
    assert installs, "".join(said)
    assert left_behind(lab, secrets) == {host: [] for host in HOSTS}
    lab.deploy(*WHOLE).good()
    assert "pki.new" not in lab.ssh("kvm2", "ls -A /etc/lockstep-colo").split()
    assert lab.ssh("kvm2", "stat -c '%U %a' /etc/lockstep-colo/pki/server-key.pem").split() == ["libvirt-qemu", "600"]


def test_a_secret_that_is_left_would_be_found(lab: Bed, secrets: list[str]) -> None:
    lab.ssh("kvm2", "cat > /tmp/left", stdin=f"x {PASSWORD} y")
    assert left_behind(lab, secrets) == {"kvm1": [], "kvm2": ["/tmp/left"]}
    lab.ssh("kvm2", "rm /tmp/left")
    token = "x" * 40
    for spelt in (json.dumps({"token": token}), json.dumps(json.dumps({"token": token})), str({"token": token})):
        assert TOKEN.search(spelt)
