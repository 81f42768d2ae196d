# SPDX-License-Identifier: GPL-3.0-or-later
"""A control node that is another Debian than this machine: its Python, and the newest ansible-core for that.

A file system of its own, and nothing else: namespaces, the lab's directory and the working tree are the machine's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import rootfs
from .common import SOURCE, Lab, remove_tree, run, say

PACKAGES = ["python3-venv", "openssh-client", "netcat-openbsd"]
ANSIBLE = "/opt/ansible"
MACHINE = "LOCKSTEP_LAB_MACHINE"  # for who has to get out again: a process that sees the machine's file system
DIRECTORIES = ["/dev", "/proc", "/run", "/sys", "/tmp"]
RECIPE = 1  # raise it when the code below builds something else from the same lists
# The mounts end with the command, since their namespace does.
ENTER = """set -e
place=$1 layers=$2 here=$PWD; shift 2
mount -t tmpfs control-node "$place"
mkdir "$place/root" "$place/upper" "$place/work"
mount -t overlay -o "lowerdir=$layers,upperdir=$place/upper,workdir=$place/work" control-node "$place/root"
while [ "$1" != -- ]; do
    mkdir -p "$place/root$1"
    mount --rbind "$1" "$place/root$1"
    shift
done
shift
exec unshare --root="$place/root" --wd="$here" "$@"
"""


def build(lab: Lab) -> Path:
    """The layer above `base`, made when it is missing; ansible-core is then the newest of that day."""
    base = rootfs.layer_path(lab, "base")
    layer = lab.cache / "layers" / f"control-{rootfs.key('control', RECIPE, rootfs.BASE, PACKAGES)}"
    if layer.exists():
        return layer
    rootfs.build(lab)
    say(f"building layer control: Debian {rootfs.SUITE} with the newest ansible-core (about 30 s)")
    log, making = lab.cache / "build-control.log", layer.with_name("making-control")
    remove_tree(making)
    making.mkdir()
    with rootfs.apt_chroot(lab, base, making, lab.cache / "packages-control", log) as (root, apt_get):
        apt_get("install", *PACKAGES)
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        version = run(["chroot", root, "python3", "-c", ask]).stdout.strip()
        wheels = root / "wheels"
        # By this machine's pip, which knows where packages come from.
        words = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "-d", wheels]
        run([*words, "--python-version", version, "--only-binary=:all:", "ansible-core"], timeout=300, log=log)
        run(["chroot", root, "python3", "-m", "venv", ANSIBLE], timeout=120, log=log)
        words = ["chroot", root, f"{ANSIBLE}/bin/pip", "install", "-q", "--no-index", "--find-links", "/wheels"]
        run([*words, "ansible-core"], timeout=300, log=log)
        remove_tree(wheels)
    making.rename(layer)
    return layer


def execute(lab: Lab, command: Sequence[str]) -> int:
    """Run a command on the control node, with this terminal; its exit code."""
    layers = f"{build(lab)}:{rootfs.layer_path(lab, 'base')}"
    place = lab.cache / "control-node"
    place.mkdir(exist_ok=True)
    tree = SOURCE.parent.parent
    shared = [*DIRECTORIES, Path.home(), lab.directory, tree]
    env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    env |= {MACHINE: str(os.getpid()), "PATH": f"{ANSIBLE}/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    words = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", ENTER, "sh", place, layers, *shared, "--"]
    return subprocess.run([*map(str, words), *command], env=env, check=False).returncode


def leave(command: Sequence[str]) -> None:
    """Go on with that command in the machine's file system, when this is the control node's."""
    machine = os.environ.pop(MACHINE, None)
    if machine:
        words = ["nsenter", "--target", machine, "--mount", "--root", f"--wd={Path.cwd()}", *command]
        os.execvp(words[0], words)
