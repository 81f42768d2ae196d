# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What YAML and pages have to say again is what the core says: they can share no code, so this holds them to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.module_utils.host import automation
from ansible_collections.lockstep.colo.plugins.module_utils.observation.automation import Settings
from ansible_collections.lockstep.colo.plugins.module_utils.record import half_notes
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import DIRECTORY, PORT_RANGE, RUN_DIRECTORY
from ansible_collections.lockstep.colo.plugins.module_utils.record.schema import NAMESPACE
from ansible_collections.lockstep.colo.plugins.module_utils.record.wanted import Wanted
from ansible_collections.lockstep.colo.plugins.module_utils.verdict.current import PROMOTE_WITHIN

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
OURS = re.compile(r"/(?:etc|run|var/lib)/lockstep-colo\b|urn:lockstep:colo:\d+")
# What the core takes where nothing is said, by the name of a module's option; a role's variable is colo_NAME.
DEFAULTS = {name: value for name, value in asdict(Wanted()).items() if value is not None and name != "dry"} | {
    "promote_within": PROMOTE_WITHIN,
    "uri": Settings.uri,
}


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


def documented() -> Iterator[tuple[str, str, Any]]:
    """Where the default of an option is documented, the option's name, and the default."""
    for path in (path for path in FILES if {"modules", "doc_fragments"} & set(path.parts)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.value, ast.Constant)
                and "options:" in str(node.value.value)
            ):
                told = yaml.safe_load(node.value.value)
                for name, option in told["options"].items() if isinstance(told, dict) else ():
                    if "default" in option:
                        yield path.name, name, option["default"]


def of_roles() -> Iterator[tuple[str, str, Any]]:
    """Which role has a default for a variable, the variable's name without its prefix, and the default."""
    for path in (path for path in FILES if path.parts[-2:] == ("defaults", "main.yml")):
        for name, default in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            yield path.parts[-3], name.removeprefix("colo_"), default


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_default_is_that_of_the_core(name: str) -> None:
    core = list(DEFAULTS[name]) if isinstance(DEFAULTS[name], tuple) else DEFAULTS[name]
    found = {where: default for where, other, default in (*documented(), *of_roles()) if other == name}
    assert found, "documented nowhere"
    assert found == dict.fromkeys(found, core)


def of_role(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "roles" / name / "defaults" / "main.yml").read_text(encoding="utf-8"))


def test_the_watcher_is_set_as_it_would_be_without_its_file() -> None:
    defaults, core = of_role("host"), Settings()
    assert (defaults["colo_watch_port"], defaults["colo_pki_directory"]) == (core.port, core.pki)
    assert (defaults["colo_directory"], defaults["colo_metrics_directory"]) == (core.directory, core.metrics)
    assert defaults["colo_metrics_listen"] == core.listen
    told = (ROOT / "roles" / "host" / "vars" / "main.yml").read_text(encoding="utf-8")
    told = told.partition("colo_host_watch_settings")[2].partition("colo_host_watch_unit")[0]
    assert set(re.findall(r"'(\w+)':", told)) == {field.name for field in fields(core)}
    assert f"'uri': '{core.uri}'" in told


def test_every_path_of_ours_and_the_namespace_are_those_of_the_core() -> None:
    said = {found for _where, text in texts() for found in OURS.findall(text)}
    assert said == {half_notes.DIRECTORY, RUN_DIRECTORY, automation.DIRECTORY, NAMESPACE}
