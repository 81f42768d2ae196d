# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with ssh and Python alone: a dry run says what comes first, and what cannot be known before."""

from __future__ import annotations

import pytest
from colo_bed import Bed


@pytest.fixture(scope="module")
def bare():
    bed = Bed("colo-bare")
    bed.down()
    bed.up(bare=True)
    yield bed
    bed.down()


def test_check_on_bare_hosts(bare: Bed) -> None:
    listing = (
        "cd /; find etc usr var/lib -xdev -newer /etc/hostname -type f ! -path '*/systemd/*' ! -name '*.pyc' | sort"
    )
    before = {host: bare.ssh(host, "dpkg-query -W") for host in ("kvm1", "kvm2")}
    files = {host: bare.ssh(host, listing) for host in ("kvm1", "kvm2")}
    run = bare.deploy("--check", "--diff", "--limit", "kvm,web1").good()
    assert "kvm1 and kvm2 cannot be observed before the packages are there" in run.text
    assert "comes first" in run.text
    assert run.text.count("cannot be observed before the packages are there") == 1
    assert "has no libvirt" not in run.text
    assert "The report is" not in run.text
    assert "Unknown until then: the domain, its disks and NICs" in run.text
    for host, packages in before.items():
        assert bare.ssh(host, "dpkg-query -W") == packages
        assert bare.ssh(host, listing) == files[host]
