# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts that tests send to hosts call the core as it is: a name in a string escapes whoever renames what it names."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = "ansible_collections.lockstep.colo.plugins."
SENT = 'sys.path.insert(0, "/root/core")'
PLACES = [path for place in ("integration", "long") for path in sorted((ROOT / "tests" / place).glob("*"))]


def scripts() -> Iterator[tuple[str, str]]:
    """The file, and each script in it that has the core in reach."""
    for path in (path for path in PLACES if path.is_file()):
        text = path.read_text(encoding="utf-8")
        if SENT in text:
            found = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
            yield from ((str(path.relative_to(ROOT)), one) for one in found if isinstance(one, str) and SENT in one)


def names(tree: ast.Module) -> dict[str, Any]:
    """What the script imports of the core, by the name that it has there."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("module_utils"):
            for one in node.names:
                found[one.asname or one.name] = _imported(CORE + node.module, one.name)
    return found


def _imported(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        return importlib.import_module(f"{module}.{name}")


def bind(script: str) -> int:
    """How many calls of the core it has; raises where one names what is not there, or an option that is not."""
    tree, count = ast.parse(script), 0
    known = names(tree)
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = ast.unparse(node.func).split(".")
        if called[0] in known and all(map(str.isidentifier, called)):  # of a call of what a call returns, that one
            target = known[called[0]]
            for part in called[1:]:
                target = getattr(target, part)
            given = {word.arg: None for word in node.keywords if word.arg}
            inspect.signature(target).bind_partial(*node.args, **given)
            count += 1
    return count


@pytest.mark.skipif(not any(scripts()), reason="ansible-test's copy has unit tests alone")
def test_the_scripts_call_what_is_there() -> None:
    assert {where: bind(script) for where, script in scripts() if not bind(script)} == {}
    assert len(list(scripts())) >= 3, "they are not found any more"


@pytest.mark.parametrize(
    "call",
    ["status(1, 2, verdict=True)", "Ask(secret=True)", "goals.strive('surviving')", "status(1, 2, Ask(), 4)"],
)
def test_a_name_that_is_gone_is_found(call: str) -> None:
    script = f"from module_utils.run import goals\nfrom module_utils.run.status import Ask, status\n{call}\n"
    with pytest.raises((TypeError, AttributeError)):
        bind(script)
