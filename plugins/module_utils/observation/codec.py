# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dataclasses to JSON and back: observations and plans cross from one host to the other through Ansible."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def to_data(value: Any) -> Any:
    """``value`` as dicts, lists and scalars; an object with a ``to_dict`` of its own decides for itself."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    return value


def from_data(kind: type[T], data: Any) -> T:
    """The dataclass ``kind`` from what :func:`to_data` made of it; unknown keys raise ``TypeError``."""
    return _convert(kind, data)


def _convert(kind: Any, data: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        return _convert(next(item for item in arguments if item is not type(None)), data)
    if hasattr(kind, "from_dict"):
        return kind.from_dict(data)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{key: _convert(hints[key], item) if key in hints else item for key, item in data.items()})
    if origin is tuple:
        return tuple(_convert(arguments[0], item) for item in data)
    if origin is dict:
        return {key: _convert(arguments[1], item) for key, item in data.items()}
    return data
