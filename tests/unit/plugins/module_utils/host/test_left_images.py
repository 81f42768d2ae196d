# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What proves that an image is as a guest left it, and whatever takes that proof away: real files, real processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import left_images, until_reboot
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Left

UUID = str(uuid.uuid4())  # of no guest of this machine
GENERATION = 7
OPENS = """
import sys, time
files = [open(path, 'r+b') for path in sys.argv[1:] if '/' in path]
print(flush=True)
time.sleep(60)
"""


@pytest.fixture(name="image")
def an_image_that_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (left_images, until_reboot):
        monkeypatch.setattr(module, "RUN_DIRECTORY", str(tmp_path / "run"))
    path = tmp_path / "vda.qcow2"
    path.write_bytes(b"a guest's")
    left_images.note(UUID, GENERATION, left_images.stamps([str(path)]))
    return path


def left() -> Left | None:
    return left_images.left(UUID)


def test_an_image_that_nobody_touched_is_known_with_its_generation(image: Path) -> None:
    assert left() == Left(GENERATION, (str(image),))
    assert left_images.left(str(uuid.uuid4())) is None


def by_hand(image: Path) -> None:
    """One byte, and its time set back."""
    before = image.stat()
    with image.open("r+b") as file:
        file.write(b"A")
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))


def by_another_of_the_same_time(image: Path) -> None:
    other = image.with_suffix(".other")
    shutil.copy2(image, other)
    other.replace(image)


def by_another_user(image: Path) -> None:
    image.chmod(0o640)


def by_growing(image: Path) -> None:
    before = image.stat()
    os.truncate(image, 1 << 20)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))


def by_a_pipe(image: Path) -> None:
    image.unlink()
    os.mkfifo(image)


LIES: list[Callable[[Path], None]] = [
    by_hand, by_another_of_the_same_time, by_another_user, by_growing, by_a_pipe, Path.unlink,
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_whatever_somebody_did_to_it_takes_the_proof_away(image: Path, lie: Callable[[Path], None]) -> None:
    time.sleep(0.02)  # the kernel's clock for files goes on in steps
    lie(image)
    assert left() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stamps": {}}', '{"stamps": {"/x": {}}, "generation": 1}', "\0"])
def test_a_damaged_note_proves_nothing(image: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "run" / f"{UUID}.left").write_text(text, encoding="utf-8")
    assert left() is None


def test_a_write_after_the_guest_stood_still_is_seen(image: Path) -> None:
    """As of a guest that a checkpoint has let go on before its QEMU was ended."""
    before = left_images.stamps([str(image)])
    image.write_bytes(b"a guest's, once more")
    left_images.note(UUID, GENERATION, before)
    assert left() is None


def test_a_write_that_the_clock_could_not_tell_is_not_believed(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_images, "_clock_of_files", lambda: image.stat().st_mtime_ns)
    assert left_images.stamps([str(image)]) == {}


def test_a_file_that_is_there_no_more_and_a_device_are_not_noted(image: Path, tmp_path: Path) -> None:
    assert set(left_images.stamps([str(image), str(tmp_path / "none"), "/dev/null"])) == {str(image)}


@pytest.fixture(name="start")
def a_start_of_qemu() -> Iterator[Callable[..., None]]:
    started: list[subprocess.Popen[str]] = []

    def start(*paths: Path, name: str = UUID) -> None:
        words = [sys.executable, "-c", OPENS, "-uuid", name, *map(str, paths)]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout
        assert started[-1].stdout.readline() == "\n"

    start.end = lambda: [(one.kill(), one.wait()) for one in started]  # type: ignore[attr-defined]
    yield start
    start.end()  # type: ignore[attr-defined]


def test_a_qemu_that_was_started_on_it_keeps_the_proof_whatever_its_primary_writes(image: Path, start) -> None:
    with left_images.opening(UUID, keeps=True):
        image.chmod(0o640)  # libvirt gives it to QEMU's user
        start(image)
    assert left() == Left(GENERATION, (str(image),))
    image.write_bytes(b"a primary's")
    assert left() == Left(GENERATION, (str(image),))
    start.end()
    assert left() is None, "its QEMU has ended"
    start(image)
    assert left() is None, "another QEMU"


def test_a_start_for_which_it_is_of_no_use_takes_the_proof_away(image: Path, start) -> None:
    with left_images.opening(UUID, keeps=False):
        start(image)
    assert left() is None


def test_a_start_that_fails_takes_the_proof_away(image: Path) -> None:
    with pytest.raises(OSError, match="no"), left_images.opening(UUID, keeps=True):
        raise OSError("no")
    assert left() is None


def test_a_write_during_the_start_takes_the_proof_away(image: Path, start) -> None:
    with left_images.opening(UUID, keeps=True):
        time.sleep(0.02)
        image.write_bytes(b"somebody's")
        start(image)
    assert left() is None


def test_a_qemu_that_has_another_file_open_proves_nothing(image: Path, start, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with left_images.opening(UUID, keeps=True):
        start(tmp_path / "other")
    assert left() is None


def test_what_was_touched_before_the_start_stays_touched(image: Path, start) -> None:
    time.sleep(0.02)
    by_hand(image)
    with left_images.opening(UUID, keeps=True):
        start(image)
    assert left() is None
