# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many generated examples a property is tried on: few in every run, more when LOCKSTEP_EXAMPLES says so."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "lockstep",
    max_examples=int(os.environ.get("LOCKSTEP_EXAMPLES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("lockstep")
