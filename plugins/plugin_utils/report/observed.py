# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observation in what a module returned, on the control node, where a host may not have answered."""

from __future__ import annotations

from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import from_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.format import refuse_other
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation

from . import given


class OtherVersion(ValueError):
    """What a host of another version of this collection has seen."""


def observation(result: Any) -> Observation | None:
    """What was seen by the module that returned ``result``, as plain data; None where it saw nothing.

    OtherVersion where it saw something that this version cannot read: that is no host that does not answer.
    """
    try:
        return read(result)
    except OtherVersion:
        raise
    except ValueError:
        return None


def read(result: Any) -> Observation:
    """The same; ValueError with the reason for what is no observation."""
    data = given.mapping(result).get("observation", result)
    try:
        refuse_other(Observation, data)
    except ColoError as error:
        raise OtherVersion(str(error)) from error
    try:
        seen = from_data(Observation, data)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(seen, Observation) or not isinstance(seen.host.name, str):
        raise ValueError("it names no host")
    return seen
