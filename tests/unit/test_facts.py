# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What YAML and pages have to say again is what the core says: they can share no code, so this holds them to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import DIRECTORY, PORT_RANGE

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("README.md", "SECURITY.md", "roles", "plugins", "tests/integration", "tests/lab")
FILES = sorted(
    path
    for place in PLACES
    for path in ((ROOT / place).rglob("*") if (ROOT / place).is_dir() else [ROOT / place])
    if path.suffix in (".md", ".yml", ".py", ".j2") and path.is_file()
)
PORTS = re.compile(r"\b2[1-3]\d{3}-2[1-3]\d{3}\b")
IMAGES = re.compile(r"/var/lib/libvirt/images/colo\w*")


def texts() -> list[tuple[str, str]]:
    return [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in FILES]


def test_every_range_of_ports_is_that_of_the_core() -> None:
    found = {where: set(PORTS.findall(text)) for where, text in texts() if PORTS.search(text)}
    assert len(found) > 3
    assert {words for said in found.values() for words in said} == {f"{PORT_RANGE.start}-{PORT_RANGE.stop - 1}"}


def test_every_directory_of_images_is_that_of_the_core() -> None:
    found = {where: set(IMAGES.findall(text)) for where, text in texts() if IMAGES.search(text)}
    assert len(found) > 5
    assert {words for said in found.values() for words in said} == {DIRECTORY}


@pytest.mark.parametrize("fact", [DIRECTORY, str(PORT_RANGE.start)])
def test_in_code_it_stands_once(fact: str) -> None:
    core = [path for path in FILES if "module_utils" in path.parts]
    lines = [
        f"{path.name}: {line.strip()}"
        for path in core
        for line in path.read_text(encoding="utf-8").splitlines()
        if fact in line and "``" not in line and not line.lstrip().startswith(("#", "-"))
    ]
    assert [line.partition(":")[0] for line in lines] == ["pair.py"]
