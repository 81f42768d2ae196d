# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The core as one file: always the same, and Python runs it where there is no Ansible."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.lockstep.colo.plugins.lookup import colo_core


def test_the_same_core_is_the_same_archive() -> None:
    assert colo_core.archive() == colo_core.archive()


def test_it_imports_without_ansible(tmp_path: Path) -> None:
    path = tmp_path / "core.pyz"
    path.write_bytes(colo_core.archive())
    script = (
        "import sys; sys.modules['ansible'] = None; sys.path.insert(0, sys.argv[1]);"
        "from lockstep_colo.front import watch; from lockstep_colo.verdict import vigil; print(watch.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout


def test_a_term_that_is_none_is_an_error() -> None:
    with pytest.raises(AnsibleError, match="colo_core has no size"):
        colo_core.LookupModule().run(["size"])
