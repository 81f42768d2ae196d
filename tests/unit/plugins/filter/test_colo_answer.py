# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts answer, by what Ansible said when each was called: recorded of OpenSSH 9.2 and ansible-core 2.19."""

from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.filter.colo_answer import colo_answer

SSH = "Task failed: Failed to connect to the host via ssh: "
STRICT = "No ED25519 host key is known for 10.77.0.1 and you have requested strict checking.\r\n"
TIMED_OUT = "ssh: connect to host 10.77.0.1 port 22: Connection timed out"
ADDED = "Warning: Permanently added '10.77.0.1' (ED25519) to the list of known hosts.\r\n"


@pytest.mark.parametrize(
    "said",
    [
        f"{ADDED}root@10.77.0.1: Permission denied (publickey,password).",
        f"{STRICT}Host key verification failed.",
        f"{ADDED}Received disconnect from 10.77.0.1 port 22:2: Too many authentication failures\r\nDisconnected",
        "ssh: connect to host 10.77.0.1 port 22: Connection refused",
    ],
)
def test_a_host_that_lets_nobody_in_answers(said: str) -> None:
    assert colo_answer({"unreachable": True, "msg": SSH + said}) == "turns_away"


@pytest.mark.parametrize(
    "said",
    [
        TIMED_OUT,
        "ssh: connect to host 10.77.0.1 port 22: No route to host",
        "ssh: connect to host 10.77.0.1 port 22: Network is unreachable",
        "ssh: Could not resolve hostname kvm1: Name or service not known",
        f'Load key "/root/.ssh/id_ed25519": Permission denied\r\n{TIMED_OUT}',
        # So says a proxy between, too, of a host that is dead: it is no proof of power.
        "Connection timed out during banner exchange\r\nConnection to 10.77.0.1 port 22 timed out",
        "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by 10.77.0.1 port 22",
        "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 10.77.0.1 port 22",
    ],
)
def test_a_host_that_says_nothing_is_silent(said: str) -> None:
    assert colo_answer({"unreachable": True, "msg": SSH + said}) == "silent"


def test_a_host_lets_in_only_where_the_task_came_to_its_end() -> None:
    assert colo_answer({"changed": False, "rc": 0, "stdout": ""}) == "lets_in"
    assert colo_answer({"failed": True, "msg": "Timed out after 6 second(s)."}) == "silent"
    assert colo_answer({"unreachable": True}) == "silent"
