# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role documents its variables, and its defaults say the same as its argument specs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
ROLE_NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())

TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "path": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
    "raw": object,
}


def load(path: Path) -> dict:
    return (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}


def problems(role: Path) -> list[str]:
    """What is wrong with a role's argument specs, one sentence each."""
    defaults = load(role / "defaults" / "main.yml")
    specs = load(role / "meta" / "argument_specs.yml").get("argument_specs", {})
    found: list[str] = []
    if "main" not in specs:
        return [f"{role.name}: meta/argument_specs.yml has no entry point main"]
    options: dict[str, dict] = {}
    for entry, spec in specs.items():
        if not spec.get("short_description"):
            found.append(f"{role.name}: entry point {entry} has no short_description")
        if not (role / "tasks" / f"{entry}.yml").exists():
            found.append(f"{role.name}: entry point {entry} has no tasks/{entry}.yml")
        for name, option in (spec.get("options") or {}).items():
            earlier = options.setdefault(name, option)
            if earlier.get("default") != option.get("default"):
                found.append(f"{role.name}: {name} has two defaults, in different entry points")
    for name in sorted(defaults.keys() - options.keys()):
        found.append(f"{role.name}: {name} has a default and is not in the argument specs")
    for name, option in options.items():
        found += [f"{role.name}: {name} {fault}" for fault in option_faults(name, option, defaults)]
    return found


def option_faults(name: str, option: dict, defaults: dict) -> list[str]:
    faults = []
    if not re.fullmatch(r"colo_[a-z0-9_]+", name):
        faults.append("is not named colo_*")
    if not option.get("description"):
        faults.append("has no description")
    if option.get("type") not in TYPES:
        faults.append(f"has the type {option.get('type')!r}, which is not one of {', '.join(TYPES)}")
        return faults
    if option["type"] == "list" and "elements" not in option:
        faults.append("is a list without elements")
    if option.get("required") and "default" in option:
        faults.append("is required and has a default")
    if ("default" in option) != (name in defaults):
        where = "the argument specs" if "default" in option else "defaults/main.yml"
        faults.append(f"has a default in {where} alone")
    elif name in defaults:
        value = defaults[name]
        if value != option["default"]:
            faults.append(f"defaults to {value!r}, the argument specs say {option['default']!r}")
        templated = isinstance(value, str) and "{{" in value
        if not templated and (
            not isinstance(value, TYPES[option["type"]])
            or (isinstance(value, bool) and option["type"] in ("int", "float"))
        ):
            faults.append(f"has a default that is no {option['type']}: {value!r}")
        if "choices" in option and not templated and value not in option["choices"]:
            faults.append(f"defaults to {value!r}, which is not among its choices")
    return faults


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_defaults_and_argument_specs_agree(role):
    assert problems(ROLES / role) == []


def test_there_are_roles():
    assert "host" in ROLE_NAMES


def test_shared_variables_have_one_default():
    """The roles of the collection share their variables, so a name means one thing."""
    seen: dict[str, tuple[str, object]] = {}
    differing = []
    for role in ROLE_NAMES:
        for name, value in load(ROLES / role / "defaults" / "main.yml").items():
            first, expected = seen.setdefault(name, (role, value))
            if expected != value:
                differing.append(f"{name}: {expected!r} in {first}, {value!r} in {role}")
    assert differing == []


@pytest.mark.parametrize(
    ("defaults", "spec", "said"),
    [
        ("colo_a: 1", "{type: int, default: 2, description: x}", "defaults to 1, the argument specs say 2"),
        ("{}", "{type: int, default: 2, description: x}", "has a default in the argument specs alone"),
        ("colo_a: 1", "{type: int, description: x}", "has a default in defaults/main.yml alone"),
        ("colo_a: one", "{type: int, default: one, description: x}", "has a default that is no int"),
        ("colo_a: x", "{type: str, default: x, choices: [y], description: x}", "not among its choices"),
        ("colo_a: []", "{type: list, default: [], description: x}", "is a list without elements"),
        ("colo_a: x", "{type: str, default: x}", "has no description"),
        ("{colo_a: x, colo_b: x}", "{type: str, default: x, description: x}", "is not in the argument specs"),
    ],
)
def test_a_fault_is_found(tmp_path, defaults, spec, said):
    for folder, text in {
        "defaults/main.yml": defaults,
        "tasks/main.yml": "[]",
        "meta/argument_specs.yml": f"argument_specs: {{main: {{short_description: x, options: {{colo_a: {spec}}}}}}}",
    }.items():
        path = tmp_path / folder
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
    assert any(said in problem for problem in problems(tmp_path))
