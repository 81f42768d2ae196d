# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError, CommandFailed
from ansible_collections.lockstep.colo.plugins.module_utils.host import files
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Image, Marker

needs_qemu = pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img is not installed")
MARKER = Marker("m1", "a80187dd", 7, "secondary", ("/i/vda.qcow2", "/i/vda.active.qcow2"))


# A domain's log and files


def test_the_digest_of_a_file_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"abc")
    assert files.digest(str(tmp_path / "store")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.digest(str(tmp_path / "nothing")) is None


@pytest.mark.parametrize("kind", ["pipe", "endless", "large"])
def test_what_is_no_small_file_has_no_digest(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store"
    make = {
        "pipe": lambda: os.mkfifo(path),
        "endless": lambda: path.symlink_to("/dev/zero"),
        "large": lambda: path.touch() or os.truncate(path, files.SMALL + 1),
    }
    make[kind]()
    assert files.digest(str(path)) is None


# Images


@pytest.fixture(name="qemu_img")
def qemu_img_that_writes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []

    def run(*command: str, inherits: tuple[int, ...]) -> str:
        assert command[-2] == f"/proc/self/fd/{inherits[0]}", "QEMU's user may swap what has a name in its directory"
        calls.append((*command[:-2], os.path.realpath(command[-2]), command[-1]))
        Path(command[-2]).write_bytes(b"new")
        return ""

    monkeypatch.setattr(files, "run", run)
    monkeypatch.setattr(files, "_own", lambda handle, path, owner, group, mode: os.fchmod(handle, mode))
    return calls


@pytest.mark.parametrize("kind", ["directory", "pipe", "dangling link", "link in a circle"])
def test_what_can_be_no_image_is_there_and_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "vda.qcow2"
    make = {
        "directory": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "dangling link": lambda: path.symlink_to(tmp_path / "nothing"),
        "link in a circle": lambda: path.symlink_to(path),
    }
    make[kind]()
    assert files.image(str(path), "qcow2") == Image(str(path), exists=True)


def test_an_image_that_goes_while_it_is_looked_at_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vda.active.qcow2"
    path.write_bytes(b"QFI\xfb")
    seen = files._is_image

    def removed(name: str) -> bool:
        found = seen(name)
        path.unlink()
        return found

    monkeypatch.setattr(files, "_is_image", removed)
    assert files.image(str(path), "qcow2") == Image(str(path), exists=False)


def test_an_image_is_made_with_the_stated_format_and_size(tmp_path: Path, qemu_img: list[tuple[str, ...]]) -> None:
    path = tmp_path / "vda.qcow2"
    files.create_image(str(path), "qcow2", 12345, "libvirt-qemu", "kvm")
    assert qemu_img == [("qemu-img", "create", "-q", "-f", "qcow2", f"{path}.partial", "12345")]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["vda.qcow2"]


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_an_image_is_never_made_over_what_is_there(tmp_path: Path, qemu_img: list[tuple[str, ...]], kind: str) -> None:
    path, other = tmp_path / "vda.qcow2", tmp_path / "other"
    if kind == "file":
        path.write_bytes(b"precious")
    else:
        path.symlink_to(other)
        if kind == "link":
            other.write_bytes(b"precious")
    with pytest.raises(ColoError, match="exists already"):
        files.create_image(str(path), "qcow2", 12345, "libvirt-qemu", "kvm")
    if kind != "dangling":
        assert path.read_bytes() == b"precious"
    assert not other.exists() or kind == "link"
    assert not (tmp_path / "vda.qcow2.partial").exists()


def test_what_a_killed_run_left_is_no_obstacle(tmp_path: Path, qemu_img: list[tuple[str, ...]]) -> None:
    (tmp_path / "vda.qcow2.partial").write_bytes(b"half")
    files.create_image(str(tmp_path / "vda.qcow2"), "qcow2", 5, "o", "g")
    assert (tmp_path / "vda.qcow2").read_bytes() == b"new"


def test_a_name_that_is_swapped_while_an_image_is_made_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious, partial = tmp_path / "precious", tmp_path / "vda.raw.partial"
    precious.write_bytes(b"precious")
    precious.chmod(0o644)

    def run(*command: str, inherits: tuple[int, ...]) -> str:
        partial.unlink()
        partial.symlink_to(precious)
        Path(command[-2]).write_bytes(b"new")
        return ""

    monkeypatch.setattr(files, "run", run)
    owner, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    with pytest.raises(FileNotFoundError):  # it has no name any more
        files.create_image(str(tmp_path / "vda.raw"), "raw", 5, owner, group)
    assert (precious.read_bytes(), precious.stat().st_mode & 0o777) == (b"precious", 0o644)
    assert [one.name for one in tmp_path.iterdir()] == ["precious"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's link")
def test_a_directory_that_another_user_has_linked_elsewhere_is_refused(
    tmp_path: Path, qemu_img: list[tuple[str, ...]]
) -> None:
    (tmp_path / "etc").mkdir(mode=0o700)
    link = tmp_path / "web1"
    link.symlink_to(tmp_path / "etc")
    os.chown(link, 64055, 64055, follow_symlinks=False)
    for make in (files.make_directory, lambda path, *owner: files.create_image(f"{path}/vda.raw", "raw", 5, *owner)):
        with pytest.raises(ColoError, match="is a link of another user"):
            make(str(link), "o", "g")
    assert (tmp_path / "etc").stat().st_mode & 0o777 == 0o700
    assert not list((tmp_path / "etc").iterdir())
    os.chown(link, 0, 0, follow_symlinks=False)
    files.make_directory(str(link), "o", "g")  # an operator's own


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's link")
def test_nothing_is_removed_where_a_link_of_another_user_leads(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "vda.qcow2").touch()
    link = tmp_path / "web1"
    link.symlink_to(tmp_path / "etc")
    os.chown(link, 64055, 64055, follow_symlinks=False)
    with pytest.raises(ColoError, match="is a link of another user"):
        files.remove(str(link / "vda.qcow2"))
    assert (tmp_path / "etc" / "vda.qcow2").exists()
    files.remove(str(tmp_path / "etc" / "vda.qcow2"))
    files.remove(str(tmp_path / "gone" / "vda.qcow2"))
    assert not list((tmp_path / "etc").iterdir())


def test_an_unknown_owner_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ColoError, match=r"cannot give .* image_owner"):
        files.make_directory(str(tmp_path / "d"), "no-such-user-here", "no-such-group-here")


def test_an_image_that_is_not_there_is_seen_as_such(tmp_path: Path) -> None:
    assert files.image(str(tmp_path / "none"), "qcow2") == Image(str(tmp_path / "none"), exists=False)


@pytest.mark.parametrize(
    ("stated", "content", "found"), [("raw", files.QCOW2_MAGIC, "qcow2"), ("qcow2", b"\0" * 8, "raw")]
)
def test_a_wrongly_stated_format_is_seen_and_the_image_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: str, content: bytes, found: str
) -> None:
    monkeypatch.setattr(files, "run", lambda *command: pytest.fail(f"{command} was run"))
    path = tmp_path / "image"
    path.write_bytes(content)
    assert files.image(str(path), stated) == Image(str(path), True, found)


@pytest.mark.parametrize(("locked", "words"), [(True, 'Failed to get shared "write" lock'), (False, None)])
def test_an_image_in_use_is_seen_by_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locked: bool, words: str | None
) -> None:
    def run(*command: str) -> str:
        if words and "-U" not in command:
            raise CommandFailed(f"qemu-img failed: {words}")
        return '{"format": "raw", "virtual-size": 4096}'

    monkeypatch.setattr(files, "run", run)
    path = tmp_path / "image"
    path.write_bytes(b"\0" * 8)
    seen = path.stat()
    expected = Image(str(path), True, "raw", 4096, locked, seen.st_ino, seen.st_blocks * 512)
    assert files.image(str(path), "raw") == expected


def made(tmp_path: Path, how: list[str]) -> str:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *how, "image", "1M"], check=True, cwd=tmp_path)
    return str(tmp_path / "image")


@needs_qemu
@pytest.mark.parametrize(
    ("how", "named"),
    [
        (["-o", "compat=0.10"], []),
        ([], []),
        (["-b", "other", "-F", "raw"], ["a backing file"]),
        (["-o", "data_file=other"], ["data in another file"]),
    ],
)
def test_what_other_file_an_image_names_is_read_in_its_header(tmp_path: Path, how: list[str], named: list[str]) -> None:
    (tmp_path / "other").write_bytes(bytes(1 << 20))
    assert files.named_in_header(made(tmp_path, how)) == named
    assert files.named_in_header(str(tmp_path / "other")) == []


@needs_qemu
def test_an_image_is_checked_without_the_files_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(bytes(1 << 20))
    image = made(tmp_path, ["-b", "other", "-F", "raw"])
    (tmp_path / "other").unlink()
    assert files.check_image(image, 20) is None
    (tmp_path / "image").write_bytes((tmp_path / "image").read_bytes()[:65536])
    assert "failed" in files.check_image(image, 20)
    assert files.check_image(made(tmp_path, ["-o", "data_file=other"]), 20) == f"{image} has data in another file"


def test_only_an_empty_directory_goes(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "other").touch()
    files.remove_directory(str(tmp_path / "d"))
    assert (tmp_path / "d" / "other").exists()
    (tmp_path / "d" / "other").unlink()
    files.remove_directory(str(tmp_path / "d"))
    assert not (tmp_path / "d").exists()
    files.remove_directory(str(tmp_path / "d"))


# The network


# One run at a time
