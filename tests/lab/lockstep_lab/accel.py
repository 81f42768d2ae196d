# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether KVM works here: found out by booting a guest with it, since a /dev/kvm that opens proves nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from . import guestimage, rootfs
from .common import Lab, LabError, run, say, write

PROBE_TIMEOUT = 20


def kvm_works(lab: Lab) -> bool:
    """The answer, kept for as long as this machine stays booted."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    answer = lab.cache / "kvm.json"
    if answer.exists():
        known = json.loads(answer.read_text(encoding="utf-8"))
        if known["boot_id"] == boot_id:
            return bool(known["works"])
    works, reason = _probe(lab)
    say(f"KVM {'works' if works else 'does not work'} here: {reason}; guests are of type {'kvm' if works else 'qemu'}")
    write(answer, json.dumps({"boot_id": boot_id, "works": works, "reason": reason}) + "\n")
    return works


def _probe(lab: Lab) -> tuple[bool, str]:
    if not Path("/dev/kvm").exists():
        return False, "there is no /dev/kvm"
    say(f"trying KVM with a probe guest (at most {PROBE_TIMEOUT} s)")
    upper = lab.cache / "making-probe"
    shutil.rmtree(upper, ignore_errors=True)
    upper.mkdir(parents=True)
    qemu = (
        f"qemu-system-x86_64 -M pc -accel kvm -m 128 -display none -no-reboot -nodefaults -serial stdio -monitor none"
        f" -kernel {guestimage.kernel()} -initrd {guestimage.initrd()} -append 'console=ttyS0 panic=-1 lab.probe=1'"
    )
    try:
        with rootfs.chroot(lab, rootfs.stack(lab, bare=False), upper, binds={}) as root:
            guestimage.install(lab, root)
            command = ["timeout", "-k", "1", str(PROBE_TIMEOUT), "chroot", root, "sh", "-c", qemu]
            done = run(command, timeout=PROBE_TIMEOUT + 10, check=False)
    except LabError as error:
        return False, str(error)
    finally:
        shutil.rmtree(upper, ignore_errors=True)
    if "LAB-PROBE-OK" in done.stdout:
        return True, "a probe guest booted"
    if "KVM internal error" in done.stderr:
        return False, "the probe guest stopped with a KVM internal error"
    if done.returncode == 124:
        return False, f"the probe guest did not boot within {PROBE_TIMEOUT} s"
    tail = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1][:200]
    return False, f"the probe guest ended with {done.returncode}: {tail}"
