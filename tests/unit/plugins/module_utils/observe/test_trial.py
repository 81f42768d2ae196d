# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.domain.trial import SUFFIX
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError, LibvirtError, Timeout
from ansible_collections.lockstep.colo.plugins.module_utils.host import files
from ansible_collections.lockstep.colo.plugins.module_utils.observe.trial import trial
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded

GUEST = recorded("unprotected-primary").domain


class Host:
    def __init__(self, error: ColoError | None) -> None:
        self.error, self.tried = error, []

    def attempt(self, xml: str) -> None:
        self.tried.append(xml)
        if self.error:
            raise self.error


@pytest.fixture(name="removed")
def removals(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    removed: list[str] = []
    monkeypatch.setattr(files, "remove", removed.append)
    return removed


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (None, None),
        (LibvirtError("attempt", 1, f"no port for web1{SUFFIX}"), "libvirt refused attempt: no port for web1"),
        (Timeout("libvirt did not answer attempt within 60 s"), "libvirt did not answer attempt within 60 s"),
    ],
)
def test_what_the_host_says_is_kept_and_nothing_is_left(
    removed: list[str], error: ColoError | None, refused: str | None
) -> None:
    host: Any = Host(error)
    found = trial(host, "web1", GUEST)
    assert found is not None
    assert found.refused == refused
    (xml,) = host.tried
    assert f"<name>web1{SUFFIX}</name>" in xml
    assert GUEST.uuid not in xml
    assert f"/var/log/libvirt/qemu/web1{SUFFIX}.log" in removed
    assert all(SUFFIX in path for path in removed)
