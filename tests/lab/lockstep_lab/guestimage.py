# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest's kernel and initramfs, and the shim that lets COLO run under TCG."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import shutil
import stat
from pathlib import Path

from . import rootfs
from .common import SOURCE, Lab, LabError, run, say

BOOT = "/var/lib/libvirt/boot"
CLOUD = "cloud"  # small and quick to boot
PACKAGES = {CLOUD: rootfs.KERNEL, "generic": rootfs.GENERIC_KERNEL}
SHIM = "/usr/local/lib/lab-tcg-shim.so"
WANTED = [
    "virtio_pci",
    "virtio_blk",
    "virtio_net",
    "virtio_scsi",
    "sd_mod",
    "e1000",
    "e1000e",
    "virtio_rng",
    "virtio_balloon",
    "button",
    "evdev",
    "ata_piix",
    "ahci",
    "sr_mod",
    "efivarfs",
    "8021q",
]


def kernel(flavour: str = CLOUD) -> str:
    """Where a kernel lies on its host."""
    return f"{BOOT}/lab-vmlinuz{_suffix(flavour)}"


def initrd(flavour: str = CLOUD) -> str:
    """Where its initramfs lies."""
    return f"{BOOT}/lab-initrd{_suffix(flavour)}"


def _suffix(flavour: str) -> str:
    return "" if flavour == CLOUD else f"-{flavour}"


def _directory(lab: Lab, flavour: str) -> Path:
    return lab.cache / f"guest{_suffix(flavour)}"


def build(lab: Lab, flavour: str = CLOUD) -> None:
    """Build what changed since the last time."""
    package = rootfs.kernel(lab, PACKAGES[flavour])
    sources = sorted([*(SOURCE / "guest").iterdir(), *(SOURCE / "shim").iterdir(), Path(__file__)])
    digest = hashlib.sha256(package.name.encode())
    for source in sources:
        digest.update(source.read_bytes())
    directory = _directory(lab, flavour)
    stamp = directory / "stamp"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest.hexdigest():
        return
    say(f"building the guest's {flavour} kernel, initramfs and the TCG shim")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    unpacked = directory / "unpacked"
    run(["dpkg-deb", "-x", package, unpacked], timeout=120)
    shutil.copy(next(unpacked.glob("boot/vmlinuz-*")), directory / "vmlinuz")
    run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-o", directory / "writer", SOURCE / "guest/writer.c"])
    run(
        ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", directory / "shim.so", SOURCE / "shim/tcg_bql_shim.c", "-ldl"]
    )
    (directory / "initrd").write_bytes(gzip.compress(_initramfs(directory, unpacked), 6, mtime=0))
    shutil.rmtree(unpacked)
    stamp.write_text(digest.hexdigest(), encoding="utf-8")


def _module_name(path: str) -> str:
    return Path(path).name.split(".ko")[0].replace("-", "_")


def _modules(unpacked: Path) -> list[tuple[str, bytes]]:
    """The wanted modules and what they need, in an order in which they can be loaded."""
    tree = next(path for path in [*unpacked.glob("usr/lib/modules/*"), *unpacked.glob("lib/modules/*")])
    files = {_module_name(str(path)): path for path in tree.rglob("*.ko*")}
    order: list[str] = []

    def add(name: str) -> None:
        if name in order or name not in files:
            return  # not in files: built into the kernel, or not in this kernel at all
        for need in _needs(files[name]):
            add(need)
        order.append(name)

    for name in WANTED:
        add(name)
    if "virtio_blk" not in order:
        raise LabError("the kernel package has no virtio_blk module")
    return [(f"{name}.ko", _content(files[name])) for name in order]


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix == ".ko":
        return data
    raise LabError(f"cannot unpack {path.name}")


def _needs(path: Path) -> list[str]:
    """What a module's .modinfo says that it depends on."""
    content = _content(path)
    start = content.find(b"\0depends=")
    if start < 0:
        start = content.find(b"depends=") - 1
    value = content[start + 1 :].split(b"\0", 1)[0].split(b"=", 1)[1].decode()
    return [need.replace("-", "_") for need in value.split(",") if need]


def _initramfs(directory: Path, unpacked: Path) -> bytes:
    """A newc archive, made here because a device node and fixed times are easier so than with cpio."""
    entries: list[tuple[str, int, bytes, tuple[int, int]]] = []
    for name in ("bin", "dev", "modules"):
        entries.append((name, stat.S_IFDIR | 0o755, b"", (0, 0)))
    entries.append(("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1)))
    busybox = shutil.which("busybox")
    if not busybox:
        raise LabError("busybox is missing")
    entries.append(("bin/busybox", stat.S_IFREG | 0o755, Path(busybox).read_bytes(), (0, 0)))
    entries.append(("bin/writer", stat.S_IFREG | 0o755, (directory / "writer").read_bytes(), (0, 0)))
    for name, script in (("init", "init"), ("bin/devices", "devices"), ("bin/keep", "keep")):
        entries.append((name, stat.S_IFREG | 0o755, (SOURCE / "guest" / script).read_bytes(), (0, 0)))
    modules = _modules(unpacked)
    entries += [(f"modules/{name}", stat.S_IFREG | 0o644, content, (0, 0)) for name, content in modules]
    entries.append(("modules/order", stat.S_IFREG | 0o644, "".join(f"{n}\n" for n, _ in modules).encode(), (0, 0)))
    entries.append(("TRAILER!!!", 0, b"", (0, 0)))
    out = bytearray()
    for number, (name, mode, content, (major, minor)) in enumerate(entries, 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += b"\0" * (-len(out) % 4)
        out += content
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def install(lab: Lab, root: Path, flavour: str = CLOUD) -> None:
    """Put kernel, initramfs and shim where a host's QEMU may read them."""
    for source, target in (("vmlinuz", kernel(flavour)), ("initrd", initrd(flavour)), ("shim.so", SHIM)):
        path = root / target.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_directory(lab, flavour) / source, path)
        path.chmod(0o644)
