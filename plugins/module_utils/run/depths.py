# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How deep one look at the host goes, as the options of ``observe``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ..observation.seen import Observation

SILENT: Mapping[str, Any] = MappingProxyType({"thorough": False, "monitor": False})  # QEMU may wait for the dead
GIVEN_UP: Mapping[str, Any] = MappingProxyType({**SILENT, "standby": True})  # of a primary: whether it may be
BRIEF: Mapping[str, Any] = MappingProxyType({"thorough": False, "brief": True})  # what a promotion has to know
QUICK: Mapping[str, Any] = MappingProxyType({"thorough": False})  # all of the domain, nothing of the host
THOROUGH: Mapping[str, Any] = MappingProxyType({})

Look = Callable[[Mapping[str, Any]], Observation]  # at a depth
