# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations, sizes and times as a person reads them, and the words for what is not known."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

NOT_KNOWN, NOTHING = "not known", "\N{EN DASH}"
UTC = timezone.utc  # noqa: UP017 - a control node may have an older Python than the hosts
MARKS = 4  # letters in a column, at most: one, and what is set above and below it
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NOT_KNOWN
    if seconds < 0.9995:
        milliseconds = seconds * 1000
        return f"{milliseconds:.1f} ms" if 0 < milliseconds < 9.95 else f"{milliseconds:.0f} ms"
    if seconds < 119.5:
        return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(number: int | None) -> str:
    if number is None:
        return NOT_KNOWN
    value, unit = float(number), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f}".removesuffix(".0") + f" {UNITS[unit]}"


def count(number: int, what: str, many: str | None = None) -> str:
    return f"{number} {what if number == 1 else many or what + 's'}"


def listed(items: Iterable[Any]) -> str:
    """Items as a sentence has them: ``a, b and c``."""
    items = [str(item) for item in items]
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def known(value: Any) -> str:
    """A value as text; None and nothing are not known."""
    return NOT_KNOWN if value is None or value == "" else str(value)


def yes_no(value: bool | None) -> str:
    return NOT_KNOWN if value is None else "yes" if value else "no"


def moment(value: Any) -> datetime | None:
    """A time in ISO 8601, UTC where it does not say otherwise; None for anything that is not one."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (OverflowError, ValueError):
        return None


def epoch(seconds: Any) -> datetime | None:
    """Seconds since 1970 as a time."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return later(datetime(1970, 1, 1, tzinfo=UTC), seconds)


def later(when: datetime, seconds: float) -> datetime | None:
    """So many seconds after that, or before it; None where no calendar has it."""
    try:
        return when + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None


def iso(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(when: datetime | None, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return NOT_KNOWN if when is None else f"{when.strftime(form)} UTC"


def width(text: str) -> int:
    """How many columns a monospaced font takes for it."""
    return sum(map(_columns, text))


def _columns(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def fit(text: str, columns: int) -> str:
    """The text, or its beginning with an ellipsis. Marks without a width count towards its length, too."""
    shown = text[: MARKS * (columns + 1)]
    used, end = 0, 0  # of what has room beside the ellipsis
    for letter in shown:
        used += _columns(letter)
        if used < columns:
            end += 1
    return text if used <= columns and shown == text else f"{text[:end]}…"
