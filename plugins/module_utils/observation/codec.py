# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dataclasses to JSON and back: observations and plans cross from one host to the other through Ansible.

The host that an observation comes from may be compromised. So what comes back has the type that its field says,
down to the last number and text, and is of a size that a host can have; whoever reads it need not ask again.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")

LARGEST = 2**62  # of a whole number, and of one with a fraction: bytes of the largest disk that there could be
LONGEST = 1 << 16  # characters of a text
LONGEST_XML = 1 << 20
MOST = 4096  # of a list or a mapping: listeners, flags of a processor, nodes
_UNSPEAKABLE = re.compile(r"[\x00\ud800-\udfff]")  # what neither XML nor a system call takes


class Unreadable(ValueError):
    """Data that is no observation; the text says where in it, and why."""


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
    """The dataclass ``kind`` from what :func:`to_data` made of it; ``Unreadable`` for anything else."""
    return _convert(kind, data, "")


def _convert(kind: Any, data: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        return _convert(next(item for item in arguments if item is not type(None)), data, where)
    if hasattr(kind, "from_dict"):
        return _by_itself(kind, data, where)
    if dataclasses.is_dataclass(kind):
        return _construct(kind, data, where)
    if origin is tuple:
        _is(isinstance(data, (list, tuple)) and len(data) <= MOST, data, f"a list of at most {MOST}", where)
        return tuple(_convert(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(data))
    if origin is dict:
        return {
            _convert(str, key, f"a key of {where}"): _convert(arguments[1], item, f"{where}.{key}")
            for key, item in _mapping(data, where).items()
        }
    return _scalar(kind, data, where)


def _by_itself(kind: Any, data: Any, where: str) -> Any:
    """Of a class that checks its own dictionary; the texts in it are held to the same bounds."""
    _bounded(data, where)
    try:
        return kind.from_dict(_mapping(data, where))
    except (TypeError, ValueError) as error:
        raise Unreadable(f"{where}: {error}") from None


def _construct(kind: Any, data: Any, where: str) -> Any:
    fields, given = _hints(kind), _mapping(data, where)
    unknown = [key for key in given if key not in fields]
    _is(not unknown, (unknown or [""])[0], f"a field of {kind.__name__}", where)
    values = {key: _convert(fields[key], item, f"{where}.{key}".lstrip(".")) for key, item in given.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"{where or kind.__name__}: {error}") from None


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _mapping(data: Any, where: str) -> dict[str, Any]:
    _is(isinstance(data, dict) and len(data) <= MOST, data, f"a mapping of at most {MOST}", where)
    return data


def _scalar(kind: Any, data: Any, where: str) -> Any:
    if kind is bool:
        _is(isinstance(data, bool), data, "true or false", where)
    elif kind is int:
        _is(_number(data) and isinstance(data, int), data, "a whole number that a host could have", where)
    elif kind is float:
        _is(_number(data), data, "a number that a host could have", where)
    elif kind is str:
        most = LONGEST_XML if where.endswith("_xml") else LONGEST
        _is(isinstance(data, str) and len(data) <= most, data, f"a text of at most {most} characters", where)
        _is(not _UNSPEAKABLE.search(data), data, "a text that can be written", where)
    elif kind is Any:
        _is(data is None or isinstance(data, (bool, str)) or _number(data), data, "one value", where)
        _bounded(data, where)
    else:
        raise TypeError(f"{where}: nothing is known of {kind}")  # a field of seen.py that this does not know
    return data


def _number(data: Any) -> bool:
    is_one = isinstance(data, (int, float)) and not isinstance(data, bool)
    return is_one and -LARGEST <= data <= LARGEST


def _bounded(data: Any, where: str, depth: int = 8) -> None:
    """Texts, numbers and collections of a size that they could have, wherever in ``data``."""
    _is(depth > 0, data, "nested less", where)
    if isinstance(data, str):
        _scalar(str, data, where)
    elif isinstance(data, (int, float)) and not isinstance(data, bool):
        _scalar(float, data, where)
    elif isinstance(data, (dict, list, tuple)):
        _is(len(data) <= MOST, data, f"of at most {MOST}", where)
        for key, item in data.items() if isinstance(data, dict) else enumerate(data):
            _bounded(key, where, depth - 1)
            _bounded(item, f"{where}.{key}", depth - 1)


def _is(so: bool, data: Any, what: str, where: str) -> None:
    if so:
        return
    shown = repr(data) if isinstance(data, (bool, int, float, str, type(None))) and not _huge(data) else ""
    shown = shown if 0 < len(shown) <= 60 else type(data).__name__
    raise Unreadable(f"{where or 'the whole'} is {shown}, not {what}")


def _huge(data: Any) -> bool:
    """Whether Python refuses to write it in digits, or should not have to."""
    return isinstance(data, int) and data.bit_length() > 128
