# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom in the core, and which libraries: held against its own import statements."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
CORE = PLUGINS / "module_utils"
# Each room of the house, and the rooms that it may import from. CONTRIBUTING.md says what each is for.
MAY_IMPORT = {
    "errors": set(),
    "record": {"errors"},
    "observation": {"errors", "record"},
    "domain": {"errors", "record", "observation"},
    "lockstep": {"errors", "record", "observation"},
    "host": {"errors", "record", "observation"},
    "verdict": {"errors", "record", "observation", "lockstep"},
    "plan": {"errors", "record", "observation", "domain", "lockstep", "verdict"},
    "observe": {"errors", "record", "observation", "domain", "lockstep", "host"},
    "apply": {"errors", "record", "observation", "host", "plan"},
    "run": {
        "errors", "record", "observation", "domain", "lockstep", "host", "verdict", "plan", "observe", "apply",
    },
    "front": {"errors", "record", "observation", "run"},
}  # fmt: skip
# Beyond the standard library. The rooms that work on XML get lxml from record, which says it where it is missing.
LIBRARIES = {"front": {"ansible"}, "host": {"libvirt", "libvirt_qemu"}, "record": {"lxml"}}
# Names that a file has from elsewhere and gives on, and the rooms that may have them from it.
GIVEN_ON = {
    ("record/schema.py", "etree"): {"record", "domain", "observe"},
    ("run/goals.py", "Fence"): {"run", "front"},
    ("run/goals.py", "Handover"): {"run", "front"},
    ("run/goals.py", "Questions"): {"run", "front"},
}
# The rooms that see nothing of a host, and keep no time: what they may have of the standard library.
PURE = ("errors", "record", "observation", "domain", "lockstep", "verdict", "plan")
OF_PURE = {
    "__future__", "collections", "copy", "dataclasses", "datetime", "errno", "functools", "ipaddress", "json", "os",
    "posixpath", "re", "struct", "types", "typing", "zlib",
}  # fmt: skip
OF_OS = {"isabs", "commonpath", "normpath", "dirname", "basename", "join"}  # os.path, as far as it is about text alone
CLOCKS = {"now", "utcnow", "today"}  # of datetime
DOORS = {"open", "exec", "eval", "compile", "input", "print"}
LATE = {"__import__", "importlib", "import_module", "runpy"}  # what is imported by these is seen by no test
# On a control node, which has neither lxml nor libvirt, these can be read all the same.
ANYWHERE = ("errors", "record", "observation", "lockstep", "verdict")


def room(path: Path) -> str:
    """The room that a file is in; the roof itself, which has no row, is in none."""
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str, bool]]:
    """(line, what, whether it is a room of ours) of each import of a file, wherever in it."""
    here = path.relative_to(CORE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0], False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module.partition(".")[0], False
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1]
            for alias in node.names:
                yield node.lineno, [*base, *(node.module or alias.name).split(".")][0], True


def broken(path: Path) -> Iterator[str]:
    where, tree = path.relative_to(CORE), ast.parse(path.read_text(encoding="utf-8"))
    here = room(path)
    for line, name, ours in imported(path):
        allowed = {here, *MAY_IMPORT.get(here, ())} if ours else {*sys.stdlib_module_names, *LIBRARIES.get(here, ())}
        if name not in allowed:
            yield f"{where}:{line}: {here} may not import {name}"
        elif not ours and (name in LATE or (here in PURE and name not in {*OF_PURE, *LIBRARIES.get(here, ())})):
            yield f"{where}:{line}: {here} may not use {name}"
    for line, name in _hidden(tree, here in PURE):
        yield f"{where}:{line}: {here} may not use {name}"
    for line, name in had_from_elsewhere(path, tree):
        yield f"{where}:{line}: {here} may not have {name} from there"
    for node in ast.walk(tree):
        if (name := _door(node, here in PURE)) is not None:
            yield f"{where}:{node.lineno}: {here} may not use {name}"


def _hidden(tree: ast.Module, pure: bool) -> Iterator[tuple[int, str]]:
    """(line, name) of what an import takes out of sight: all of a file; of a pure room, parts of os, and new names."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        of = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            whole = f"{of}.{alias.name}".lstrip(".")
            if alias.name == "*":
                yield node.lineno, "*"
            elif pure and of in ("os", "os.path", "posixpath") and alias.name not in {"path", *OF_OS}:
                yield node.lineno, whole
            elif pure and alias.asname and whole.partition(".")[0] in ("os", "posixpath", "datetime"):
                yield node.lineno, f"{whole} by another name"


def _door(node: ast.AST, pure: bool) -> str | None:
    """What an expression reaches past the imports, by its name."""
    if isinstance(node, ast.Name) and (node.id in LATE or (pure and node.id in DOORS)):
        return node.id
    if not pure or not isinstance(node, ast.Attribute):
        return None
    of = ast.unparse(node.value)
    wrong = {
        "os": node.attr != "path", "os.path": node.attr not in OF_OS, "posixpath": node.attr not in OF_OS,
        "datetime": node.attr in CLOCKS, "datetime.datetime": node.attr in CLOCKS, "datetime.date": node.attr in CLOCKS,
        "etree": node.attr == "parse",
    }  # fmt: skip
    return f"{of}.{node.attr}" if wrong.get(of) else None


def had_from_elsewhere(path: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of what a file has from one that has it from a room or a library that is closed to this one."""
    here, modules = room(path), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = _base(path, node)
            for alias in node.names:
                if (module := base / f"{alias.name}.py").exists():
                    modules[alias.asname or alias.name] = module
                elif not _may_have(here, base.with_suffix(".py"), alias.name):
                    yield node.lineno, alias.name
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            continue
        if (module := modules.get(node.value.id)) and not _may_have(here, module, node.attr):
            yield node.lineno, f"{node.value.id}.{node.attr}"


def _may_have(here: str, source: Path, name: str) -> bool:
    """Whether a room may have ``name`` from the file ``source``, wherever that has it from."""
    if not source.exists():
        return True
    if here in GIVEN_ON.get((source.relative_to(CORE).as_posix(), name), ()):
        return True
    for node in _imports(source):
        for alias in node.names:
            if (alias.asname or alias.name) != name:
                continue
            if isinstance(node, ast.ImportFrom) and node.level:
                target = _base(source, node)
                module = target / f"{alias.name}.py"
                file = module if module.exists() else target.with_suffix(".py")
                return room(file) in {here, *MAY_IMPORT.get(here, ())} and _may_have(here, file, alias.name)
            library = (node.module if isinstance(node, ast.ImportFrom) else alias.name).partition(".")[0]
            allowed = {*(OF_PURE if here in PURE else sys.stdlib_module_names), *LIBRARIES.get(here, ())}
            return library in allowed
    return True


@cache
def _imports(source: Path) -> list[ast.Import | ast.ImportFrom]:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def _base(path: Path, node: ast.ImportFrom) -> Path:
    """The directory, or the file without its ending, that a relative import is from."""
    here = path.relative_to(CORE).parts[:-1]
    return CORE.joinpath(*here[: len(here) - node.level + 1], *(node.module.split(".") if node.module else ()))


FILES = sorted(CORE.rglob("*.py"))


def test_every_room_is_in_the_table() -> None:
    assert {room(path) for path in FILES} - {"__init__"} == set(MAY_IMPORT)


def test_the_page_for_newcomers_says_the_same() -> None:
    page = (PLUGINS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## The house")[2]
    rows = re.findall(r"^\| `(\w+)` \| .* \| ?(.*?) ?\|$", page.partition("How a run flows")[0], re.MULTILINE)
    said = {name: {*re.findall(r"\w+", rooms), "errors"} - {name} for name, rooms in rows}
    said["run"] = set(MAY_IMPORT) - {"run", "front"}  # all but front
    assert said == {name: {*rooms, "errors"} - {name} for name, rooms in MAY_IMPORT.items()}


NAMED = re.compile(r"`([\w/]+\.(?:py|yml|md|jsonl?))`")


def missing(page: str) -> list[str]:
    """The files that a page names and that are nowhere: by path from the root, the core or a role, a test's by name."""
    root = PLUGINS.parent
    places = (root, PLUGINS, CORE, root / "roles" / "pair", root / "roles" / "pair" / "tasks")
    tests = {path.name for path in (root / "tests").rglob("*.py")}
    names = [name for name in NAMED.findall(page) if not name.startswith("results/")]
    return [name for name in names if name not in tests and not any((place / name).exists() for place in places)]


@pytest.mark.skipif(not (PLUGINS.parent / "tests" / "lab").exists(), reason="ansible-test's copy has unit tests alone")
def test_what_the_page_for_newcomers_names_is_there() -> None:
    page = (PLUGINS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(NAMED.findall(page)) > 15
    assert missing(page) == []
    assert missing("`run/foreseen.py` and `plan/foreseen.py`") == ["run/foreseen.py"]


def test_no_room_imports_what_it_may_not() -> None:
    assert [words for path in FILES for words in broken(path)] == []


@pytest.mark.parametrize(
    ("where", "statement", "words"),
    [
        ("verdict/x.py", "from ..plan import step", "verdict may not import plan"),
        ("plan/parts/x.py", "from ...host.files import image", "plan may not import host"),
        ("plan/parts/x.py", "from ... import host", "plan may not import host"),
        ("front/x.py", "from ..host import files", "front may not import host"),
        ("run/x.py", "def late():\n    from ansible.module_utils import basic", "run may not import ansible"),
        ("observe/x.py", "import libvirt", "observe may not import libvirt"),
        ("domain/x.py", "from lxml import etree", "domain may not import lxml"),
        ("errors.py", "from .record import pair", "errors may not import record"),
        ("plan/__init__.py", "from ..host import files", "plan may not import host"),
        ("__init__.py", "def late():\n    import ansible", "__init__ may not import ansible"),
        ("observe/__init__.py", "def late():\n    import ansible", "observe may not import ansible"),
        ("verdict/x.py", "import importlib", "verdict may not use importlib"),
        ("run/x.py", "from importlib import import_module", "run may not use importlib"),
        ("plan/x.py", "host = __import__('host')", "plan may not use __import__"),
        ("verdict/x.py", "import subprocess", "verdict may not use subprocess"),
        ("plan/x.py", "import time", "plan may not use time"),
        ("plan/x.py", "def read():\n    return open('/etc/passwd')", "plan may not use open"),
        ("plan/x.py", "import os\nos.unlink('/x')", "plan may not use os.unlink"),
        ("verdict/x.py", "import os\nos.path.exists('/x')", "verdict may not use os.path.exists"),
        ("plan/x.py", "from os import unlink", "plan may not use os.unlink"),
        ("verdict/x.py", "from os.path import exists", "verdict may not use os.path.exists"),
        ("verdict/x.py", "from os.path import join", None),
        ("plan/x.py", "import os as o\no.unlink('/x')", "plan may not use os by another name"),
        ("plan/x.py", "import datetime as d\nd.datetime.now()", "plan may not use datetime by another name"),
        ("front/x.py", "from ..run.goals import *", "front may not use *"),
        ("run/x.py", "import runpy", "run may not use runpy"),
        ("lockstep/x.py", "from datetime import datetime\ndatetime.now()", "lockstep may not use datetime.now"),
        ("front/x.py", "from ..run.goals import Hypervisor", "front may not have Hypervisor from there"),
        ("front/x.py", "from ..run import goals\ngoals.observe()", "front may not have goals.observe from there"),
        ("verdict/x.py", "from ..record.schema import etree", "verdict may not have etree from there"),
        ("verdict/x.py", "from ..record import schema\nschema.etree", "verdict may not have schema.etree from there"),
        ("domain/x.py", "from ..record.schema import etree", None),
        ("front/x.py", "from ..run.goals import Fence, Request", None),
        ("plan/parts/x.py", "from ..step import Plan\nfrom . import layers\nimport os", None),
        ("host/x.py", "import libvirt_qemu, subprocess, time\nopen('/x')", None),
    ],
)
def test_what_may_not_be_imported_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, statement: str, words: str | None
) -> None:
    monkeypatch.setitem(globals(), "CORE", tmp_path)
    for source in ("record/schema.py", "run/goals.py"):
        (tmp_path / source).parent.mkdir(parents=True)
        (tmp_path / source).write_text(
            (PLUGINS / "module_utils" / source).read_text(encoding="utf-8"), encoding="utf-8"
        )
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(statement, encoding="utf-8")
    assert [found.partition(": ")[2] for found in broken(path)] == ([words] if words else [])


def neighbours(path: Path) -> Iterator[Path]:
    """The files that a file imports from, wherever in it."""
    here = path.relative_to(CORE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = CORE.joinpath(*here[: len(here) - node.level + 1], *(node.module or "").split("."))
            for found in (base / f"{alias.name}.py" for alias in node.names):
                yield found if found.exists() else base.with_suffix(".py")


def circle(imports: dict[Path, set[Path]]) -> list[Path]:
    """Files that import each other in a circle, and those that stand on such; none where there is no circle."""
    left = dict(imports)
    while ground := [path for path, below in left.items() if not below & left.keys()]:
        for path in ground:
            del left[path]
    return sorted(left)


def test_no_files_import_each_other_in_a_circle() -> None:
    imports = {path: set(neighbours(path)) for path in FILES}
    assert all(below <= imports.keys() for below in imports.values())
    assert circle(imports) == []
    step, plan = CORE / "plan" / "step.py", CORE / "plan" / "plan.py"
    assert step in circle({**imports, step: {plan}})


def import_without(blocked: list[str], names: list[str]) -> str:
    """What a fresh Python says that cannot import ``blocked``, as on a host that does not have it."""
    code = f"""
import importlib, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, {str(PLUGINS)!r})
for name in {names!r}:
    importlib.import_module(name)
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    return done.stderr


def modules(*rooms: str) -> list[str]:
    return [".".join(path.relative_to(PLUGINS).with_suffix("").parts) for path in FILES if room(path) in rooms]


def test_the_core_needs_no_ansible() -> None:
    names = modules(*set(MAY_IMPORT) - {"front"})
    assert import_without(["ansible", "ansible_collections"], names) == ""
    assert "ModuleNotFoundError: ansible" in import_without(["ansible"], modules("front"))


def test_what_is_read_on_a_control_node_needs_neither_lxml_nor_libvirt() -> None:
    assert import_without(["lxml", "libvirt", "libvirt_qemu"], modules(*ANYWHERE)) == ""


SEEN = {"monitor", "domain", "state", "running", "status", "colo", "objects", "nodes", "exports", "jobs", "chardevs"}


def projections(path: Path) -> list[str]:
    """Where a file makes an observation of its own: what a step brings about is for plan.effects to say."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [
        f"{path.name}:{call.lineno}"
        for call in calls
        if ast.unparse(call.func) in ("replace", "dataclasses.replace") and SEEN & {word.arg for word in call.keywords}
    ]


def test_no_plan_projects_by_hand() -> None:
    plans = [path for path in FILES if room(path) == "plan"]
    assert {path.stem for path in plans if projections(path)} == {"effects", "effects_in_qemu"}
