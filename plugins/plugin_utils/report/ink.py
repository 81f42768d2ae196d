# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few shapes that the picture is drawn with. Colours are classes of the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import words
from .markup import Markup, join, tag

MONO = 0.602  # width of a letter of a monospaced font, in units of its size
SANS, BOLD = 0.56, 0.66  # about the same of others, for texts of ordinary words
BOLD_CLASSES = ("strong", "host-name")


@dataclass(frozen=True)
class Panel:
    """A part of the picture, drawn from its own upper left corner."""

    height: float
    ink: Markup


def at(x: float, y: float, *ink: Markup) -> Markup:
    return tag("g", *ink, transform=f"translate({x:.1f} {y:.1f})")


def text(
    x: float,
    y: float,
    words_: str,
    class_: str,
    *,
    size: float,
    room: float,
    mono: bool = False,
    anchor: str | None = None,
) -> Markup:
    """One line, cut off where it needs more than ``room``; the whole of it is shown to a pointer."""
    if not words_:
        return Markup()
    letter = MONO if mono else BOLD if class_ in BOLD_CLASSES else SANS
    shown = words.fit(words_, max(1, int(room / (size * letter))))
    whole = tag("title", words_) if shown != words_ else None
    family = f"{class_} mono" if mono else class_
    return tag("text", whole, shown, x=x, y=y, class_=family, font_size=size, text_anchor=anchor)


def box(x: float, y: float, width: float, height: float, class_: str, radius: float = 5) -> Markup:
    return tag("rect", x=x, y=y, width=width, height=height, rx=radius, class_=class_)


def line(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    return tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


def arrow(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line along the axes, with a head at its end."""
    (before_x, before_y), (x, y) = points[-2:]
    ahead, aside = ((x > before_x) - (x < before_x), (y > before_y) - (y < before_y))
    length, half = 7, 3.5
    head = [
        (x, y),
        (x - ahead * length + aside * half, y - aside * length + ahead * half),
        (x - ahead * length - aside * half, y - aside * length - ahead * half),
    ]
    corners = " ".join(f"{corner_x:.1f},{corner_y:.1f}" for corner_x, corner_y in head)
    return join(line(points, class_), tag("polygon", points=corners, class_=f"{class_} head"))


def pill(x: float, y: float, words_: str, class_: str, size: float = 10, room: float = 120) -> Markup:
    """Words in a rounded box whose right upper corner is given."""
    shown = words.fit(words_, int(room / (size * SANS)))
    width = words.width(shown) * size * 0.6 + 14
    return join(
        box(x - width, y, width, size + 8, f"pill {class_}", radius=(size + 8) / 2),
        text(x - width / 2, y + size + 1.5, shown, f"pill-text {class_}", size=size, room=room, anchor="middle"),
    )
