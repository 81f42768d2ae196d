# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of the images of a standby, read by QEMU's own tools."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError, Timeout
from ansible_collections.lockstep.colo.plugins.module_utils.host import detached, sums
from ansible_collections.lockstep.colo.plugins.module_utils.host.processes import Held

CLUSTER = sums.CLUSTER
NOT_HERE = "no such disk is here that was not told of"
SIZE = 40 * CLUSTER + 512
needs_qemu = pytest.mark.skipif(shutil.which("qemu-nbd") is None, reason="qemu-nbd is not installed")


def content(tmp_path: Path) -> bytes:
    """Data, a hole, data, zeros that take room, and a short end."""
    data = random.Random(3).randbytes(SIZE)
    with (tmp_path / "raw").open("wb") as file:
        file.write(data[: 3 * CLUSTER])
        file.seek(20 * CLUSTER)
        file.write(data[20 * CLUSTER : 24 * CLUSTER] + bytes(4 * CLUSTER))
        file.seek(40 * CLUSTER)
        file.write(data[40 * CLUSTER :])
    return (tmp_path / "raw").read_bytes()


def expected(data: bytes, holes: set[int]) -> list[bytes]:
    parts = (data[at : at + CLUSTER] for at in range(0, SIZE, CLUSTER))
    return [sums.HOLE if number in holes else sums.sum_of(part) for number, part in enumerate(parts)]


def itself() -> Held:
    """This process, in the place of the standby's QEMU."""
    return Held(-1, f"{os.getpid()} 1")


def answer(path: Path, kind: str) -> tuple[dict, list[bytes]]:
    with path.open("rb"):
        head, *rest = sums._told({"path": str(path), "format": kind}, itself())
    found = b"".join(rest)
    return json.loads(head), [found[at : at + sums.SUM] for at in range(0, len(found), sums.SUM)]


@needs_qemu
@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_each_cluster_has_its_sum_and_a_hole_is_called_one(tmp_path: Path, kind: str) -> None:
    data, path = content(tmp_path), tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-S", "0", "-f", "raw", "-O", kind, tmp_path / "raw", path], check=True)
    if kind == "raw":
        path = tmp_path / "raw"
    head, found = answer(path, kind)
    assert head == {"size": SIZE, "cluster": CLUSTER}
    holes = {number for number, one in enumerate(found) if one == sums.HOLE}
    assert found == expected(data, holes)
    assert holes <= {*range(3, 20), *range(24, 40)}, "what is no hole is called one"
    if kind == "raw":
        assert {*range(4, 19), *range(29, 39)} <= holes


def leading_elsewhere(tmp_path: Path, way: str) -> Path:
    """An image over a file with a secret, or with its data in it."""
    image, secret = tmp_path / "image", tmp_path / "secret"
    how = {"backing": ["-b", secret, "-F", "raw"], "data": ["-o", f"data_file={secret},data_file_raw=on"]}[way]
    secret.write_bytes(bytes(CLUSTER))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *how, image, str(CLUSTER)], check=True)
    secret.write_bytes(b"secret" + bytes(CLUSTER - 6))
    return image


@needs_qemu
@pytest.mark.parametrize(("way", "words"), [("backing", "has a backing file"), ("data", "has data in another file")])
def test_an_image_that_names_another_file_is_not_read(tmp_path: Path, way: str, words: str) -> None:
    with pytest.raises(ColoError, match=words):
        answer(leading_elsewhere(tmp_path, way), "qcow2")


@needs_qemu
def test_a_name_that_comes_into_the_header_after_the_look_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums.files, "named_in_header", lambda path: [])
    _head, found = answer(leading_elsewhere(tmp_path, "backing"), "qcow2")
    assert found == [sums.HOLE], "a standby's QEMU is without the backing file, and so is what is told of it"
    (tmp_path / "image").unlink()
    with pytest.raises(ColoError, match="has not open"):
        answer(leading_elsewhere(tmp_path, "data"), "qcow2")


@needs_qemu
def test_a_file_that_takes_the_images_place_after_the_look_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret" * 512)
    with pytest.raises(ColoError, match="has not open"):
        list(sums._told({"path": str(tmp_path / "secret"), "format": "raw"}, itself()))


@needs_qemu
def test_an_image_that_is_none_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"no image" * 512)
    with pytest.raises(ColoError):
        answer(tmp_path / "image", "qcow2")


def asked(words: bytes, images: dict) -> bytes:
    ours, theirs = socket.socketpair()
    arguments = {"peer": "127.0.0.1", "host": "kvm1", "credentials": None}
    thread = threading.Thread(target=sums._answer, args=(theirs, arguments, images, itself()))
    thread.start()
    with ours:
        ours.sendall(words)
        thread.join(10)
        ours.settimeout(5)
        try:
            return ours.recv(4096)
        except ConnectionResetError:
            return b""


def test_a_disk_that_is_not_named_is_not_read() -> None:
    assert json.loads(asked(b"vdz\n", {})) == {"error": NOT_HERE}
    assert asked(b"x" * 4000, {}) == b""


def test_a_file_that_has_taken_the_images_name_is_not_read(tmp_path: Path) -> None:
    image, images = tmp_path / "image", {"vda": {"path": str(tmp_path / "image"), "format": "raw"}}
    image.write_bytes(bytes(CLUSTER))
    with image.open("rb"):
        (tmp_path / "other").write_bytes(bytes(CLUSTER))
        (tmp_path / "other").replace(image)
        assert "is not the file" in json.loads(asked(b"vda\n", images))["error"]


@needs_qemu
def test_an_image_is_told_of_to_who_names_its_disk(tmp_path: Path) -> None:
    image, images = tmp_path / "image", {"vda": {"path": str(tmp_path / "image"), "format": "raw"}}
    image.write_bytes(b"1" * CLUSTER)
    with image.open("rb"):
        head, _line, found = asked(b"vda\n", images).partition(b"\n")
    assert json.loads(head) == {"size": CLUSTER, "cluster": CLUSTER}
    assert found == sums.sum_of(b"1" * CLUSTER)
    assert json.loads(asked(b"vda\n", images)) == {"error": NOT_HERE}, "what the copy has sent may come at any time"


def test_it_does_not_begin_without_a_standby() -> None:
    arguments = {
        "uuid": "no-such",
        "address": "127.0.0.1",
        "port": 0,
        "peer": "127.0.0.1",
        "host": "kvm1",
        "credentials": None,
        "images": {},
    }
    with pytest.raises(ColoError, match="did not begin: the standby's QEMU has ended"):
        sums.begin(arguments, 20)


def sleeper(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """A process that says ``words`` and goes on, in the place of a module of the package."""
    popen = subprocess.Popen

    def begun(command: list[str], **how: Any) -> subprocess.Popen:
        script = f"import sys, time; sys.stdin.read(); print({words!r}, end='', flush=True); time.sleep(60)"
        return popen([command[0], "-c", script, *command[2:]], **how)

    monkeypatch.setattr(detached.subprocess, "Popen", begun)


def test_a_process_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper(monkeypatch, "")
    with pytest.raises(Timeout, match="it was not at work within"):
        detached.begin("sieve", "it", "uuid-1", {}, 0.5)


def test_one_that_is_at_work_is_found_by_its_domain_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper(monkeypatch, "ready\n")
    for uuid in ("uuid-1", "uuid-2"):
        detached.begin("sieve", "it", uuid, {}, 20)
    running = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    detached.end("sieve", "uuid-1")
    left = [uuid for uuid in ("uuid-1", "uuid-2") for one in running if detached._is(one, "sieve", uuid)]
    detached.end("sieve", "uuid-2")
    assert left == ["uuid-2"]
    assert not any(detached._is(one, "sieve", "uuid-2") for one in running)
