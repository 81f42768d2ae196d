# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The marker beside a domain's images: whole or not there, and written on a full file system as well."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import marker
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Marker

MARKER = Marker("m1", "11111111-2222-3333-4444-555555555555", 3, "primary", ("/i/vda.qcow2",))
NEWER = replace(MARKER, generation=4, role="alone")


def test_a_marker_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert marker.read(str(tmp_path)) is None
    marker.write(str(tmp_path), MARKER)
    assert marker.read(str(tmp_path)) == MARKER
    assert {path.name for path in tmp_path.iterdir()} == {marker.NAME, marker.SPARE}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"machine_id": "m1"}', '{"unknown": 1}'])
def test_a_damaged_marker_is_an_error_and_never_none(tmp_path: Path, text: str) -> None:
    (tmp_path / marker.NAME).write_text(text)
    with pytest.raises(ColoError, match=r"colo.json is damaged"):
        marker.read(str(tmp_path))


def test_a_marker_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    fsync, rename = os.fsync, os.replace

    def synced(handle: int) -> None:
        order.append("directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def replaced(old: str, new: str, **where: int) -> None:
        order.append("replace")
        rename(old, new, **where)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    marker.write(str(tmp_path), MARKER)
    assert order == ["file", "replace", "file", "directory"]
    order.clear()
    marker.write(str(tmp_path), NEWER)
    assert order == ["file", "replace", "directory"]


def test_one_of_many_disks_needs_no_spare(tmp_path: Path) -> None:
    long = replace(MARKER, paths=tuple(f"/i/{number:0200}.qcow2" for number in range(100)))
    marker.write(str(tmp_path), MARKER)
    marker.write(str(tmp_path), long)
    assert marker.read(str(tmp_path)) == long


def test_a_spare_that_is_not_whole_is_not_used(tmp_path: Path) -> None:
    marker.write(str(tmp_path), MARKER)
    (tmp_path / marker.SPARE).write_text("half")
    marker.write(str(tmp_path), NEWER)
    assert marker.read(str(tmp_path)) == NEWER


def test_nothing_is_left_when_it_is_removed(tmp_path: Path) -> None:
    marker.write(str(tmp_path), MARKER)
    marker.remove(str(tmp_path))
    marker.remove(str(tmp_path))
    assert not list(tmp_path.iterdir())


# The directory is QEMU's.


def _linked(name: str) -> Callable[[Path, Path], None]:
    return lambda home, precious: (home / name).symlink_to(precious)


def _linked_hard(home: Path, precious: Path) -> None:
    (home / marker.SPARE).hardlink_to(precious)


def _of_qemus_user(home: Path, _precious: Path) -> None:
    (home / marker.SPARE).write_bytes(bytes(marker.MARKER_SIZE))
    os.chown(home / marker.SPARE, 64055, 64055)


def _a_pipe(home: Path, _precious: Path) -> None:
    os.mkfifo(home / marker.SPARE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("placed", [_linked(marker.SPARE), _linked(marker.NAME), _linked_hard, _of_qemus_user, _a_pipe])
def test_a_marker_goes_into_a_file_of_its_own_whatever_is_in_its_place(
    tmp_path: Path, placed: Callable[[Path, Path], None]
) -> None:
    home, precious = tmp_path / "home", tmp_path / "precious"
    home.mkdir()
    precious.write_bytes(b"p" * marker.MARKER_SIZE)
    placed(home, precious)
    marker.write(str(home), MARKER)
    assert marker.read(str(home)) == MARKER
    assert precious.read_bytes() == b"p" * marker.MARKER_SIZE
    assert {(path.is_symlink(), path.stat().st_uid, path.stat().st_nlink) for path in home.iterdir()} == {(False, 0, 1)}
    marker.remove(str(home))
    assert precious.exists()


def _endless(home: Path) -> None:
    (home / marker.NAME).symlink_to("/dev/zero")


def _waiting(home: Path) -> None:
    os.mkfifo(home / marker.NAME)


def _long(home: Path) -> None:
    (home / marker.NAME).write_text(" " * (marker.LONGEST + 1))


def _deep(home: Path) -> None:
    (home / marker.NAME).write_text("[" * 200_000)


@pytest.mark.parametrize("placed", [_endless, _waiting, _long, _deep])
def test_what_no_run_has_written_is_a_damaged_marker(tmp_path: Path, placed: Callable[[Path], None]) -> None:
    placed(tmp_path)
    with pytest.raises(ColoError, match=r"colo.json is damaged"):
        marker.read(str(tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's link")
def test_no_marker_is_written_where_a_link_of_another_user_leads(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    link = tmp_path / "home"
    link.symlink_to(tmp_path / "etc")
    os.chown(link, 64055, 64055, follow_symlinks=False)
    for door in (
        lambda: marker.write(str(link), MARKER),
        lambda: marker.read(str(link)),
        lambda: marker.remove(str(link)),
    ):
        with pytest.raises(ColoError, match="is a link of another user"):
            door()
    assert not list((tmp_path / "etc").iterdir())


@pytest.fixture(name="small")
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("a file system of its own needs root")
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", place], check=False).returncode:
        pytest.skip("this machine mounts nothing")
    yield place
    subprocess.run(["umount", place], check=True)


def _fill(place: Path) -> None:
    with (place / "other").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return


def test_a_full_file_system_does_not_stop_a_failover(small: Path) -> None:
    marker.write(str(small), MARKER)
    _fill(small)
    marker.write(str(small), NEWER)
    assert marker.read(str(small)) == NEWER


def test_without_a_spare_a_full_file_system_keeps_the_marker_that_was_there(small: Path) -> None:
    marker.write(str(small), MARKER)
    (small / marker.SPARE).unlink()
    _fill(small)
    with pytest.raises(OSError, match=f"No space left on device: '{small / marker.SPARE}'"):
        marker.write(str(small), NEWER)
    assert marker.read(str(small)) == MARKER
