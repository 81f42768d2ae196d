# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The subject of a certificate as text, in which no other subject reads like a host's."""

from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.record import identity

ORGANISATION, CN = "organizationName", "commonName"


def test_a_hosts_certificate_is_its_own() -> None:
    certificate = {"subject": (((ORGANISATION, "lockstep.colo"),), ((CN, "kvm1"),))}
    assert identity.shown(certificate) == identity.subject("kvm1") == "O=lockstep.colo,CN=kvm1"


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ((((CN, "kvm1"),), ((ORGANISATION, "lockstep.colo"),)), "CN=kvm1,O=lockstep.colo"),
        ((((ORGANISATION, "lockstep.colo,CN=kvm1"),),), r"O=lockstep.colo\,CN=kvm1"),
        ((((ORGANISATION, "lockstep.colo"), (CN, "kvm1")),), "O=lockstep.colo+CN=kvm1"),
        ((((ORGANISATION, "a\\+b"),), (("emailAddress", "c"),)), r"O=a\\\+b,emailAddress=c"),
        ((), ""),
    ],
)
def test_another_subject_is_not(subject: tuple, text: str) -> None:
    assert identity.shown({"subject": subject}) == text
