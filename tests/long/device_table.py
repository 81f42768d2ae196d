# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/devices.md: the table of known devices as people read it, from the code's own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "devices.md"
TABLE = ROOT / "plugins" / "module_utils" / "domain" / "known_devices.py"
INTRODUCTION = """\
# Devices and settings of a domain

Written by `tests/long/devices --table` from the collection's own list (`domain/known_devices.py`), which decides; do
not edit it. Whatever is in none of its rows is refused by its name.

- *works (run)*: guests with it were protected, lost their host and went on; the [compatibility
  table](compatibility.md) has the last runs of those that are devices.
- *works (QEMU takes it)*: `-only-migratable` does (QEMU 7.2.22, 10.0.13 and 11.1.3 were asked), or QEMU has no
  part in it.
- *refused*: with the reason; QEMU or COLO cannot carry it.
- *refused until it is tried*: nobody knows. `colo_devices_unproven` lets an operator try it, at the risk of guest and
  data.

Names are those of the domain's XML: `device/element@attribute=value`; `/**` is all from there down, and `**/` an
element anywhere. The more exact name decides. Some things are decided by two of them together, and are refused with a
reason as well: a disk that the guest writes to and that is shareable, a floppy, or on a USB or SD bus; several queues
of a NIC; an I/O thread of a SCSI controller; vhost; an invariant TSC or Hyper-V's re-enlightenment without a
frequency of the TSC; most of what `<qemu:commandline>`, `<qemu:override>` and `<qemu:capabilities>` bring.

| what | verdict | why |
| --- | --- | --- |
"""


def page() -> str:
    return INTRODUCTION + "".join(_line(row) for row in _rows())


def _rows() -> list:
    """The module by its path: it needs neither the collection's name nor its libraries."""
    spec = importlib.util.spec_from_file_location("known_devices", TABLE)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.ROWS)


def _line(row) -> str:
    names = ", ".join(f"`{key.replace('|', ', ')}`" for key in row.keys.split())
    return f"| {names} | {row.verdict} | {row.reason} |\n"
