# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.record import xml
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import (
    PKI_DIRECTORY,
    PORT_RANGE,
    Channel,
    DiskRecord,
    Endpoint,
    NicRecord,
    Record,
)
from ansible_collections.lockstep.colo.plugins.module_utils.record.schema import VocabularyError
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.a_record import NICS, STANDBY_DISK, record
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.domain_strategies import records
from hypothesis import given


@given(records())
def test_a_record_survives_json(given_record: Record) -> None:
    assert Record.from_dict(json.loads(json.dumps(given_record.to_dict()))) == given_record


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_both_ends_see_the_same_four_channels(role: str) -> None:
    assert record(role).channels() == (
        Channel("migration", "secondary", "10.0.0.2", 21600),
        Channel("nbd", "secondary", "10.0.0.2", 21601),
        Channel("mirror", "primary", "10.0.0.1", 21602, nic="52:54:00:00:00:01"),
        Channel("compare", "primary", "10.0.0.1", 21603, nic="52:54:00:00:00:01"),
        Channel("mirror", "primary", "10.0.0.1", 21604, nic="52:54:00:00:00:02"),
        Channel("compare", "primary", "10.0.0.1", 21605, nic="52:54:00:00:00:02"),
    )


def test_a_survivor_alone_has_no_channels_and_keeps_its_ports() -> None:
    alone = record("alone")
    assert alone.channels() == ()
    assert xml.from_xml(xml.to_xml(alone)).first_port == 21600


def test_every_channel_has_the_credentials() -> None:
    assert {channel.credentials for channel in record(credentials=PKI_DIRECTORY).channels()} == {PKI_DIRECTORY}


@given(records())
def test_a_pair_stays_within_its_block_of_ports(given_record: Record) -> None:
    ports = [channel.port for channel in given_record.channels()]
    assert len(set(ports)) == len(ports)
    assert all(given_record.first_port <= port < given_record.first_port + 16 and port in PORT_RANGE for port in ports)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"role": "boss"}, "role"),
        ({"generation": -1}, "generation"),
        ({"generation": True}, "generation"),
        ({"complete": "3"}, "completed generation"),
        ({"first_port": 21599}, "21600-23199"),
        ({"first_port": 23185}, "21600-23199"),
        ({"nics": tuple(NicRecord(f"52:54:00:00:00:{n:02x}", None, False) for n in range(8))}, "8 NICs"),
        ({"nics": NICS + NICS[:1]}, "twice"),
        ({"disks": (STANDBY_DISK, STANDBY_DISK)}, "twice"),
        ({"role": "secondary"}, "no active and hidden"),
        ({"autostart_before": "no"}, "autostart_before"),
        ({"credentials": ""}, "credentials"),
        ({"credentials": "/tmp/a-ca-of-mine"}, "the credentials are '/tmp/a-ca-of-mine'"),
        ({"checkpoint_delay": 1.5}, "checkpoint delay"),
    ],
)
def test_a_record_that_cannot_be_is_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(VocabularyError, match=reason):
        dataclasses.replace(record(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "build",
    [
        lambda: Endpoint("", "m", "192.0.2.1"),
        lambda: Endpoint("two\nlines", "m", "192.0.2.1"),
        lambda: Endpoint("h\x00", "m", "192.0.2.1"),
        lambda: Endpoint("h,CN=other", "m", "192.0.2.1"),
        lambda: Endpoint("-h", "m", "192.0.2.1"),
        lambda: Endpoint("h", "", "192.0.2.1"),
        lambda: Endpoint("h", "m", "h.example"),
        lambda: Endpoint("h", "m", "192.0.2.1 or sport = :22"),
        lambda: Endpoint("h", "m", "fe80::1%x or sport = :22"),
        lambda: DiskRecord("vda-active", "raw", "/i", 1),
        lambda: DiskRecord("vda", "raw", "relative", 1),
        lambda: DiskRecord("vda", "", "/i", 1),
        lambda: DiskRecord("vda", "raw", "/i", 1, active="/a"),
        lambda: NicRecord("52:54:00:AA:00:01", None, False),
        lambda: NicRecord("52:54:00:aa:00:01", "vhost", False),
    ],
)
def test_a_part_that_cannot_be_is_refused(build: object) -> None:
    with pytest.raises(VocabularyError):
        build()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "not a mapping"),
        ({}, "lacks|not a mapping"),
        ({**record().to_dict(), "extra": 1}, "extra"),
        ({**record().to_dict(), "disks": None}, "not a list"),
        ({**record().to_dict(), "local": {"host": "a"}}, "machine_id"),
        ({key: value for key, value in record().to_dict().items() if key != "generation"}, "generation"),
    ],
)
def test_a_dictionary_that_is_no_record_is_refused(data: object, reason: str) -> None:
    with pytest.raises(VocabularyError, match=reason):
        Record.from_dict(data)  # type: ignore[arg-type]
