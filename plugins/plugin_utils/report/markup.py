# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML and SVG from functions. What is not Markup already is escaped, so that nothing observed becomes a tag.

The text is HTML to a browser and well-formed XML to anything else: elements are closed, apart from those that HTML
knows as empty, and there are no named entities but XML's own.
"""

from __future__ import annotations

import html
from typing import Any

EMPTY = ("br", "col", "hr", "link", "meta")


class Markup(str):
    """Text that is markup."""

    __slots__ = ()


def tag(element: str, /, *children: Any, **attributes: Any) -> Markup:
    """An element. ``class_`` and ``stroke_width`` are the attributes class and stroke-width; None leaves one out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if element in EMPTY:
        return Markup(f"<{element}{written}/>")
    return Markup(f"<{element}{written}>{join(*children)}</{element}>")


def join(*children: Any) -> Markup:
    """Children one after the other; lists are taken apart, None is nothing."""
    return Markup("".join(map(_text, children)))


def _text(child: Any) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, (list, tuple)):
        return join(*child)
    return html.escape(_plain(child))


def _plain(value: Any) -> str:
    """A number in the same few digits everywhere: two decimals, none where they are zero."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return str(value)
