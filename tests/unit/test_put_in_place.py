# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate and its key are put in the place of those before at once, and a run that is killed is mended."""

from __future__ import annotations

import errno
import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROLE = Path(__file__).resolve().parents[2] / "roles/pki"
SCRIPT = ROLE / "files/put_in_place.py"
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


@pytest.fixture(name="script")
def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("put_in_place", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def directory(path: Path, content: str, names: tuple[str, ...] = NAMES) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text(content, encoding="ascii")
        (path / name).chmod(0o600 if name in KEYS else 0o644)
    return path


def contents(place: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="ascii") for path in place.iterdir()}


def test_the_first_one_is_there_with_its_modes(tmp_path: Path, script: ModuleType) -> None:
    script.put_in_place(directory(tmp_path / "new", "a"), tmp_path / "pki")
    assert contents(tmp_path / "pki") == dict.fromkeys(NAMES, "a")
    assert {(tmp_path / "pki" / name).stat().st_mode & 0o777 for name in KEYS} == {0o600}
    assert [path.name for path in tmp_path.iterdir()] == ["pki"]


def test_what_the_new_one_does_not_have_is_taken_over(tmp_path: Path, script: ModuleType) -> None:
    place = directory(tmp_path / "pki", "a", (*NAMES, "dh-params.pem"))
    script.put_in_place(directory(tmp_path / "new", "b", NAMES[1:]), place)
    assert contents(place) == dict.fromkeys(NAMES, "b") | {"ca-cert.pem": "a", "dh-params.pem": "a"}
    assert [path.name for path in tmp_path.iterdir()] == ["pki"]


def test_a_key_is_never_seen_beside_another_certificate(tmp_path: Path, script: ModuleType) -> None:
    place = directory(tmp_path / "pki", "0")
    reader = subprocess.Popen([sys.executable, "-c", READS, str(place)], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.2)
        for number in range(200):
            script.put_in_place(directory(tmp_path / "new", str(number)), place)
            seen = {contents(place)[name] for name in NAMES}
            assert seen == {str(number)}
    finally:
        reader.kill()
        said = reader.communicate()[0]
    assert said == ""


@pytest.mark.parametrize("failing", [errno.EXDEV, errno.EINVAL, errno.EBUSY])
def test_where_directories_cannot_be_exchanged_their_files_are(
    tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    def cannot(*_paths: str) -> None:
        raise OSError(failing, "cannot")

    moved: list[str] = []
    replace = Path.replace
    monkeypatch.setattr(script, "exchange", cannot)
    monkeypatch.setattr(Path, "replace", lambda one, other: (moved.append(one.name), replace(one, other)))
    place = directory(tmp_path / "pki", "a")
    script.put_in_place(directory(tmp_path / "new", "b"), place)
    assert contents(place) == dict.fromkeys(NAMES, "b")
    assert moved == [".ca-cert.pem", ".client-key.pem", ".client-cert.pem", ".server-key.pem", ".server-cert.pem"]
    assert {(place / name).stat().st_mode & 0o777 for name in KEYS} == {0o600}
    assert (place / "ca-cert.pem").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["pki"]


def test_a_link_of_somebodys_stays_one(tmp_path: Path, script: ModuleType) -> None:
    real, place = directory(tmp_path / "elsewhere", "a"), tmp_path / "pki"
    place.symlink_to(real)
    script.put_in_place(directory(tmp_path / "new", "b"), place)
    assert (place.is_symlink(), contents(real)) == (True, dict.fromkeys(NAMES, "b"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "pki"]


def test_another_failure_leaves_the_one_in_use(
    tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_paths: str) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(script, "exchange", full)
    place = directory(tmp_path / "pki", "a")
    with pytest.raises(OSError, match="no space"):
        script.put_in_place(directory(tmp_path / "new", "b"), place)
    assert contents(place) == dict.fromkeys(NAMES, "a")


@pytest.mark.parametrize("before", ["sync", "exchange"])
def test_a_run_that_is_killed_leaves_those_in_use_and_the_next_puts_all_in_place(tmp_path: Path, before: str) -> None:
    place = directory(tmp_path / "pki", "a")
    new = directory(tmp_path / "new", "b")
    text = SCRIPT.read_text(encoding="utf-8")
    killed = text.replace("if __name__", f"def {before}(*_): os.kill(os.getpid(), 9)\n\n\nif __name__")
    done = subprocess.run([sys.executable, "-c", killed, str(new), str(place)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert contents(place) == dict.fromkeys(NAMES, "a")
    subprocess.run([sys.executable, "-c", text, str(new), str(place)], check=True)
    assert contents(place) == dict.fromkeys(NAMES, "b")


def test_no_task_writes_where_the_files_are_in_use() -> None:
    tasks = yaml.safe_load((ROLE / "tasks/install.yml").read_text(encoding="utf-8"))
    written = [
        value["dest"] for task in tasks for value in task.values() if isinstance(value, dict) and "dest" in value
    ]
    assert written
    assert all(path.startswith("/etc/lockstep-colo/pki.new/") for path in written)
    assert tasks[-1]["ansible.builtin.command"]["argv"][-2:] == ["/etc/lockstep-colo/pki.new", "/etc/lockstep-colo/pki"]
