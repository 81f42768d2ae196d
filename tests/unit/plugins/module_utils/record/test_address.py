# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.record import address


@pytest.mark.parametrize(
    ("written", "canonical", "endpoint"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.1:21600"),
        ("fd00::1", "fd00::1", "[fd00::1]:21600"),
        ("FD00:0:0::0001", "fd00::1", "[fd00::1]:21600"),
        ("2001:db8:0:1:0:0:0:1", "2001:db8:0:1::1", "[2001:db8:0:1::1]:21600"),
        ("kvm1", "kvm1", "kvm1:21600"),
    ],
)
def test_an_address_is_written_in_one_way(written: str, canonical: str, endpoint: str) -> None:
    assert address.canonical(written) == canonical
    assert address.endpoint(canonical, 21600) == endpoint


@pytest.mark.parametrize(
    ("text", "expected"),
    [("fe80::1", True), ("fe80::1%eth0", True), ("fd00::1", False), ("169.254.0.1", False), ("kvm1", False)],
)
def test_only_an_ipv6_address_needs_a_device_with_it(text: str, expected: bool) -> None:
    assert address.is_link_local(text) is expected
