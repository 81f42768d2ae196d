# SPDX-License-Identifier: GPL-3.0-or-later
"""is_off.py LAB HOST: the verification of a fence. 0 when no process of the host is left."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

from lockstep_lab import hosts  # noqa: E402
from lockstep_lab.common import Lab  # noqa: E402

sys.exit(hosts.running(Lab(sys.argv[1]), sys.argv[2]))
