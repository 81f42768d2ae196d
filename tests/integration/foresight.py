# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs left otherwise than the effects of their steps said: each is a fault in an effect, or has a reason here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

# A pattern that a whole line of ``differences`` is like, and why no effect can foresee it.
REASONS: Mapping[str, str] = {
    "Let the standby be promoted: QEMU's connected: True, foreseen was False": "the plan of a host knows its own QEMU: "
    "a standby that is renewed in lockstep connects with what its primary has from before, until that begins again",
    r"Describe the primary's half: images: \{'[^']+\.overlay'\}, foreseen was \{'[^']+'\}": "a host looks at images "
    "that are recorded, and at one that a snapshot began only once it is",
}


def differences(journal: Iterable[str]) -> list[str]:
    """All that was not foreseen, each once, from the lines that callback_plugins/unforeseen.py writes."""
    runs = [json.loads(line) for line in journal]
    return list(dict.fromkeys(f"{run['title']}: {words}" for run in runs for words in run["unforeseen"]))


def unexplained(found: Iterable[str], reasons: Mapping[str, str] = REASONS) -> list[str]:
    """Those of the differences that no reason is given for."""
    return [words for words in found if not any(re.fullmatch(pattern, words) for pattern in reasons)]
