# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate and its key are put in the place of those before at once, and a run that is killed is mended."""

from __future__ import annotations

import errno
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.host import credentials
from ansible_collections.lockstep.colo.plugins.module_utils.host.credentials import File

OWNER = pwd.getpwuid(os.getuid()).pw_name
KEYS = ("client-key.pem", "server-key.pem")
NAMES = ("ca-cert.pem", "client-cert.pem", "server-cert.pem", *KEYS)
READS = """
import os, sys
while True:
    place = os.open(sys.argv[1], os.O_RDONLY)
    kinds = ("key", "cert")
    try:
        both = {os.read(os.open(f"server-{kind}.pem", os.O_RDONLY, dir_fd=place), 9) for kind in kinds}
    except FileNotFoundError:  # it was exchanged meanwhile, and removed
        both = {""}
    if len(both) != 1:
        print(both, flush=True)
    os.closerange(3, 20)
"""


@pytest.fixture(autouse=True)
def whoever_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "GROUP", os.getgid())


def files(content: str, names: tuple[str, ...] = NAMES) -> list[File]:
    return [File(name, OWNER, 0o600 if name in KEYS else 0o644, content.encode()) for name in names]


def directory(path: Path, content: str, names: tuple[str, ...] = NAMES) -> Path:
    credentials.put_in_place(files(content, names), path)
    return path


def contents(place: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="ascii") for path in place.iterdir()}


def modes(place: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o7777 for path in place.iterdir()}


def test_the_first_one_is_there_with_its_modes(tmp_path: Path) -> None:
    place = directory(tmp_path / "etc" / "pki", "a")
    assert contents(place) == dict.fromkeys(NAMES, "a")
    assert modes(place) == {name: 0o600 if name in KEYS else 0o644 for name in NAMES}
    assert {path.stat().st_mode & 0o7777 for path in (place, place.parent)} == {0o755}
    assert [path.name for path in place.parent.iterdir()] == ["pki"]


@pytest.mark.skipif(os.getuid() != 0, reason="gives files away")
def test_they_are_whose_they_shall_be(tmp_path: Path) -> None:
    credentials.put_in_place([File("server-key.pem", "nobody", 0o600, b"a")], tmp_path / "pki")
    assert (tmp_path / "pki" / "server-key.pem").owner() == "nobody"
    assert (tmp_path / "pki").owner() == OWNER


def test_a_user_that_is_not_there_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    place = directory(tmp_path / "pki", "a")
    with pytest.raises(ColoError, match=r"there is no user qemu-of-nobody, to whom server-key\.pem is to belong"):
        credentials.put_in_place([File("server-key.pem", "qemu-of-nobody", 0o600, b"b")], place)
    assert contents(place) == dict.fromkeys(NAMES, "a")


def test_what_differs_is_told(tmp_path: Path) -> None:
    place, key = directory(tmp_path / "pki", "a"), File("server-key.pem", OWNER, 0o600, b"a")
    assert not [file for file in files("a") if credentials.differs(place, file)]
    assert credentials.differs(place, File("server-key.pem", OWNER, 0o600, b"b"))
    assert credentials.differs(place, File("server-key.pem", OWNER, 0o600, None))
    assert credentials.differs(place, File("server-key.pem", "qemu-of-nobody", 0o600, b"a"))
    assert credentials.differs(tmp_path / "nowhere", key)
    (place / key.name).chmod(0o640)
    assert credentials.differs(place, key)


def test_what_the_new_one_does_not_have_is_taken_over(tmp_path: Path) -> None:
    place = directory(tmp_path / "pki", "a", (*NAMES, "dh-params.pem"))
    (place / ".server-key.pem").write_text("of a run that was killed", encoding="ascii")
    directory(place, "b", NAMES[1:])
    assert contents(place) == dict.fromkeys(NAMES, "b") | {"ca-cert.pem": "a", "dh-params.pem": "a"}
    assert [path.name for path in tmp_path.iterdir()] == ["pki"]


def test_a_key_is_never_seen_beside_another_certificate(tmp_path: Path) -> None:
    place = directory(tmp_path / "pki", "0")
    reader = subprocess.Popen([sys.executable, "-c", READS, str(place)], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.2)
        for number in range(200):
            directory(place, str(number))
            seen = {contents(place)[name] for name in NAMES}
            assert seen == {str(number)}
    finally:
        reader.kill()
        said = reader.communicate()[0]
    assert said == ""


@pytest.mark.parametrize("failing", [errno.EXDEV, errno.EINVAL, errno.EBUSY])
def test_where_directories_cannot_be_exchanged_their_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    def cannot(*_paths: str) -> None:
        raise OSError(failing, "cannot")

    moved: list[str] = []
    replace = Path.replace
    place = directory(tmp_path / "pki", "a")
    monkeypatch.setattr(credentials, "exchange", cannot)
    monkeypatch.setattr(Path, "replace", lambda one, other: (moved.append(one.name), replace(one, other)))
    directory(place, "b")
    assert contents(place) == dict.fromkeys(NAMES, "b")
    assert moved == [".ca-cert.pem", ".client-key.pem", ".client-cert.pem", ".server-key.pem", ".server-cert.pem"]
    assert modes(place) == {name: 0o600 if name in KEYS else 0o644 for name in NAMES}
    assert [path.name for path in tmp_path.iterdir()] == ["pki"]


def test_a_link_of_somebodys_stays_one(tmp_path: Path) -> None:
    real, place = directory(tmp_path / "elsewhere", "a"), tmp_path / "pki"
    place.symlink_to(real)
    directory(place, "b")
    assert (place.is_symlink(), contents(real)) == (True, dict.fromkeys(NAMES, "b"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "pki"]


def test_another_failure_leaves_the_one_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_paths: str) -> None:
        raise OSError(errno.ENOSPC, "no space")

    place = directory(tmp_path / "pki", "a")
    monkeypatch.setattr(credentials, "exchange", full)
    with pytest.raises(OSError, match="no space"):
        directory(place, "b")
    assert contents(place) == dict.fromkeys(NAMES, "a")


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], int]:
    """Puts "b" in a place, in a process that is killed where it calls a function; with which signal it ended."""

    def run(name: str, place: str) -> int:
        child = os.fork()
        if not child:
            monkeypatch.setattr(credentials, name, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            credentials.put_in_place(files("b"), Path(place))
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run


@pytest.mark.parametrize("before", ["_take_its_place", "sync", "exchange"])
def test_a_run_that_is_killed_leaves_those_in_use_and_the_next_puts_all_in_place(
    tmp_path: Path, killed_at: Callable[[str, str], int], before: str
) -> None:
    place = directory(tmp_path / "pki", "a")
    assert killed_at(before, str(place)) == -signal.SIGKILL
    assert contents(place) == dict.fromkeys(NAMES, "a")
    assert modes(tmp_path / "pki.new")["server-key.pem"] == 0o600
    directory(place, "b")
    assert contents(place) == dict.fromkeys(NAMES, "b")
    assert [path.name for path in tmp_path.iterdir()] == ["pki"]


def test_what_is_not_in_use_yet_is_nobody_elses(tmp_path: Path, killed_at: Callable[[str, str], int]) -> None:
    killed_at("_take_its_place", str(tmp_path / "pki"))
    assert (tmp_path / "pki.new").stat().st_mode & 0o7777 == 0o700
