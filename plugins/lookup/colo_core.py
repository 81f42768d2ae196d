# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The core of the collection as one file, for hosts where it runs without Ansible."""

from __future__ import annotations

DOCUMENTATION = r"""
name: colo_core
short_description: The core of this collection as one archive that Python runs
version_added: 0.1.0
author:
  - the lockstep.colo contributors (@lockstep)
description:
  - Makes a zip archive of the collection's C(module_utils) on the control node, which Python runs as the watcher of a
    host. The role P(lockstep.colo.host#role) installs it.
  - The same collection always gives the same archive, to the byte.
options:
  _terms:
    description:
      - V(path) returns the path of the archive on the control node, V(digest) its SHA-256.
    type: list
    elements: str
    required: true
    choices: [path, digest]
"""

EXAMPLES = r"""
- ansible.builtin.copy:
    src: "{{ lookup('lockstep.colo.colo_core', 'path') }}"
    dest: /usr/local/lib/lockstep-colo/lockstep-colo.pyz
    mode: "0644"
"""

RETURN = r"""
_raw:
  description: One text for each term.
  type: list
  elements: str
"""

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

CORE = Path(__file__).resolve().parents[1] / "module_utils"
PACKAGE = "lockstep_colo"
MAIN = f"from {PACKAGE}.front.watch import main\n\nraise SystemExit(main())\n"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive knows


def archive() -> bytes:
    """The archive, in which nothing depends on when and where it is made."""
    files = {f"{PACKAGE}/{path.relative_to(CORE).as_posix()}": path.read_bytes() for path in CORE.rglob("*.py")}
    rooms = {f"{name.rpartition('/')[0]}/__init__.py" for name in files}
    files = {**dict.fromkeys(rooms, b""), **files, "__main__.py": MAIN.encode("ascii")}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(files):
            target.writestr(zipfile.ZipInfo(name, EPOCH), files[name], zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        content = archive()
        digest = hashlib.sha256(content).hexdigest()
        found = []
        for term in terms:
            if term not in ("path", "digest"):
                raise AnsibleError(f"colo_core has no {term}: say path or digest")
            found.append(digest if term == "digest" else self._written(content, digest))
        return found

    def _written(self, content: bytes, digest: str) -> str:
        """In Ansible's own directory for what ends with the run."""
        path = Path(constants.DEFAULT_LOCAL_TMP, f"lockstep-colo-{digest[:16]}.pyz")
        if not path.exists():
            new = path.with_suffix(f".{os.getpid()}")
            new.write_bytes(content)
            new.replace(path)
        return str(path)
