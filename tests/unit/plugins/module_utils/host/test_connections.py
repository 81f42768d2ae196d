# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.host import connections

# As iproute2 6.1 prints them, shortened: a mirror that has just sent, a comparison on which nothing comes, one that is
# being closed.
TOLD = """\
ESTAB    0 0 10.77.0.1:21602 10.77.0.2:38464 cubic rto:204 bytes_acked:1001 lastsnd:4 lastrcv:2504 pacing_rate 4bps
ESTAB    0 0 10.77.0.1:21605 10.77.0.2:38466 cubic rto:200 lastsnd:84012 lastrcv:84012 lastack:84012 minrtt:0.02
FIN-WAIT-1 0 1 10.77.0.1:21604 10.77.0.2:38468 cubic rto:200 lastsnd:9 lastrcv:9 lastack:9000
"""


def test_how_long_each_channel_is_quiet_the_kernel_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(connections, "run", lambda *words: asked.append(words) or TOLD)
    assert connections.last_heard("10.77.0.2", [21602, 21604, 21605]) == {"21602": 0.0, "21605": 84.012}
    (words,) = asked
    assert {"--oneline", "--info"} <= set(words)
    assert words[-1].startswith("dst 10.77.0.2 and ( sport = :21602 or")


def test_a_channel_over_ipv6_is_told_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "ESTAB 0 0 [fd00::1]:40000 [fd00::2]:21603 cubic lastsnd:304 lastrcv:304 lastack:304\n"
    monkeypatch.setattr(connections, "run", lambda *_words: told)
    assert connections.last_heard("fd00::2", [21603]) == {"21603": 0.304}


def test_a_port_of_the_peers_own_choice_is_not_taken_for_a_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host may let its connections begin at any port, one of the pair's among them."""
    told = "ESTAB 0 0 10.77.0.1:21602 10.77.0.2:21605 cubic lastsnd:304 lastrcv:304 lastack:304\n"
    monkeypatch.setattr(connections, "run", lambda *_words: told)
    assert connections.last_heard("10.77.0.2", [21602, 21605]) == {"21602": 0.304}
