# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook hands over, made fit for a report: plain data, without passwords and without anything that deceives.

Of results only the keys are taken that a report shows. Whatever text is left goes through ``harmless``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

# What XML cannot hold, and what makes text look like other text: controls, marks of direction, spaces without width.
_UNSHOWABLE = re.compile(
    "[^\t\n -~\u00a0-\u200a\u200c\u200d\u2010-\u2027\u202f-\u205f\u2070-\ud7ff"
    "\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_USER = re.compile(r"(?<=://)[^/@\s]*@")
_NAMES = r"pass(?:word|wd|phrase)?|secret|token|api[-_]?key|community"
_VALUE = r"""("[^"]*"?|'[^']*'?|[^\s,;&'"]+)"""
_SECRETS = (
    re.compile(rf"""(?i)((?:{_NAMES})["']?\s*[=:]\s*){_VALUE}"""),
    re.compile(rf"(?i)(--?(?:{_NAMES})\s+){_VALUE}"),
)
HIDDEN = "(hidden)"
LONGEST = 4096  # characters of a text: a path can have as many
LARGEST = 10**15  # of a number: milliseconds, or what is counted


def plain(value: Any) -> Any:
    """``value`` as JSON has it, whatever Ansible or YAML made of it; what JSON does not know is named, not shown."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if abs(value) < float("inf") else None
    if isinstance(value, date):
        return value.isoformat()
    return f"({type(value).__name__})"


def harmless(value: Any) -> Any:
    """The same data; in its texts no password, no user of an address, nothing that cannot be shown or has no end."""
    if isinstance(value, dict):
        return {harmless(key): harmless(item) for key, item in value.items()}
    if isinstance(value, list):
        return [harmless(item) for item in value]
    return _harmless_text(value) if isinstance(value, str) else value


def _harmless_text(text: str) -> str:
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}…"
    text = _UNSHOWABLE.sub("\ufffd", text.replace("\r\n", "\n"))
    text = _USER.sub(f"{HIDDEN}@", text)
    for secret in _SECRETS:
        text = secret.sub(rf"\1{HIDDEN}", text)
    return text


def method(text: str) -> str:
    """How a host was fenced, without the options of a command, among which there is often a password."""
    words = text.split()
    options = next((at for at, word in enumerate(words) if re.search(r"^[-/]|[=@]|://", word) and at), None)
    return text if options is None else f"{' '.join(words[:options])} (its options are not shown)"


def number(value: Any) -> int | float | None:
    """A number, or None: ``True`` is none, nor is a text, nor what nobody could have counted."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if -LARGEST <= value <= LARGEST else None


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def texts(value: Any) -> list[str]:
    """A list of sentences, from texts or from problems with ``what``, ``remedy`` and ``disk``."""
    return [_sentence(item) for item in value] if isinstance(value, list) else []


def _sentence(item: Any) -> str:
    if not isinstance(item, dict) or "what" not in item:
        return str(item)
    place = f"disk {item['disk']}: " if item.get("disk") else ""
    return f"{place}{item['what']}. {item.get('remedy') or ''}".strip()
