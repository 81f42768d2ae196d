# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the control node refuses to make a certificate for."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.lockstep.colo.plugins.action import colo_certificate
from ansible_collections.lockstep.colo.plugins.plugin_utils import authority


def run(home: Path, **arguments: Any) -> dict[str, Any]:
    task = SimpleNamespace(
        action="lockstep.colo.colo_certificate",
        args={"directory": str(home), "host": "kvm1", "address": "10.0.0.1", **arguments},
        check_mode=False,
        async_val=0,
        environment=None,
        diff=False,
        delegate_to=None,
    )
    action = colo_certificate.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    return action.run(task_vars={})


@pytest.mark.parametrize("days", [-1, 0, 36501, 10**7, 10**10])
def test_a_time_that_no_certificate_can_be_in_force_for_is_refused(tmp_path: Path, days: int) -> None:
    with pytest.raises(AnsibleActionFail, match=f"colo_pki_days is {days}, and has to be from 1 to 36500"):
        run(tmp_path / "pki", days=days)
    assert not (tmp_path / "pki").exists()


@pytest.mark.parametrize("days", [-(10**10), -1, 10**10])
def test_a_time_before_the_end_that_cannot_be_is_refused(tmp_path: Path, days: int) -> None:
    with pytest.raises(AnsibleActionFail, match=f"renew_before is {days}, and has to be from 0 to 36500"):
        run(tmp_path / "pki", renew_before=days)


def test_what_can_be_is_made(tmp_path: Path) -> None:
    assert run(tmp_path / "pki", days=36500, renew_before=36500)["changed"]


def known(home: Path) -> str:
    """The authority's certificate as a host tells of it."""
    return "".join((home / "ca-cert.pem").read_text(encoding="ascii").splitlines()[1:-1])


@pytest.mark.parametrize("here", ["none", "another"])
def test_a_certificate_of_another_authority_is_replaced_only_where_that_is_asked_for(tmp_path: Path, here: str) -> None:
    run(tmp_path / "theirs")
    home, theirs = tmp_path / "pki", known(tmp_path / "theirs")
    if here == "another":
        run(home)
    before = sorted(home.rglob("*"))
    with pytest.raises(AnsibleActionFail, match="kvm1 has a certificate of another authority than that of"):
        run(home, authority=theirs)
    assert sorted(home.rglob("*")) == before
    assert not run(tmp_path / "theirs", authority=theirs)["changed"]
    found = run(home, authority=theirs, replace=True)
    assert (found["changed"], len(found["missing"])) == (here == "none", 5)


def test_one_that_was_renewed_since_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "AUTHORITY_DAYS", 40)
    run(tmp_path, days=20)
    before = known(tmp_path)
    assert run(tmp_path, days=60, authority=before)["changed"]
    assert known(tmp_path) != before
    assert run(tmp_path, days=60, authority=before)["missing"]


def test_an_authority_that_has_ended_may_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Then(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(tz) - timedelta(days=4000)

    with monkeypatch.context() as then:
        then.setattr(authority, "datetime", Then)
        run(tmp_path / "theirs")
    assert run(tmp_path / "pki", authority=known(tmp_path / "theirs"))["changed"]


@pytest.mark.parametrize("told", ["", "A", "AAAA", "MIIBxTCCAWyg"])
def test_what_is_no_certificate_keeps_nobody_from_one(tmp_path: Path, told: str) -> None:
    assert run(tmp_path / "pki", authority=told)["changed"]
