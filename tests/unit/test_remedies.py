# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs playbooks is told of playbooks: a remedy that names a module names the playbook that calls it first."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CORE = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"
PLAYBOOKS = {path.stem for path in (CORE.parents[1] / "playbooks").glob("*.yml")}
MODULES = {path.stem for path in (CORE.parent / "modules").glob("colo_*.py")}
MODULE = re.compile(rf"\b({'|'.join(sorted(MODULES))})\b")
PLAYBOOK = re.compile(rf"\blockstep\.colo\.({'|'.join(sorted(PLAYBOOKS))})\b")


def texts(tree: ast.AST) -> Iterator[str]:
    """What is written in a source and is no documentation; of one that is put together, the whole."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation | parts:
            yield node.value


def for_modules_alone(text: str) -> bool:
    module, playbook = MODULE.search(text), PLAYBOOK.search(text)
    return module is not None and (playbook is None or playbook.start() > module.start())


def test_a_remedy_names_the_playbook_before_the_module() -> None:
    found = [
        f"{path.relative_to(CORE)}: {text}"
        for path in sorted(CORE.rglob("*.py"))
        if path.parent.name != "front"  # of a module's own options
        for text in texts(ast.parse(path.read_text(encoding="utf-8")))
        if for_modules_alone(text)
    ]
    assert found == []


def test_what_names_a_module_alone_is_found() -> None:
    assert for_modules_alone("Run colo_disk with role primary first")
    assert not for_modules_alone("Run lockstep.colo.deploy (as a module: colo_disk)")
    assert list(texts(ast.parse('"""colo_pair"""\nf"Run colo_{x} twice"'))) == ["Run colo_... twice"]
