# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep import proxy
from ansible_collections.lockstep.colo.plugins.module_utils.lockstep.proxy import Part, Proxy
from ansible_collections.lockstep.colo.plugins.module_utils.record.pair import Channel

DIRECTORY = "/var/lib/libvirt/qemu/domain-1-web1"
MIRROR = Channel("mirror", "primary", "10.0.0.1", 21602, nic="52:54:00:00:00:01")
COMPARE = Channel("compare", "primary", "10.0.0.1", 21603, nic="52:54:00:00:00:01")


def of(model: str = "virtio", alias: str = "net0") -> Proxy:
    return Proxy(alias, model, MIRROR, COMPARE, DIRECTORY)


def names(parts: list[Part]) -> list[str]:
    return [part.name for part in parts]


@pytest.mark.parametrize(
    ("model", "vnet_hdr"),
    [
        ("virtio", True),
        ("virtio-transitional", True),
        ("virtio-non-transitional", True),
        ("e1000", False),
        ("rtl8139", False),
    ],
)
@pytest.mark.parametrize("after_failover", [False, True])
def test_every_filter_and_the_comparison_know_virtios_header(model: str, vnet_hdr: bool, after_failover: bool) -> None:
    parts = [*of(model).primary(after_failover), *of(model).secondary(False)]
    objects = [part for part in parts if part.object]
    assert len(objects) == 7
    assert {part.arguments["vnet_hdr_support"] for part in objects} == {vnet_hdr}


def test_what_a_part_uses_is_added_before_it() -> None:
    for parts in (of().primary(False), of().secondary(False)):
        there: set[str] = set()
        for part in parts:
            used = {
                part.arguments[key]
                for key in ("indev", "outdev", "primary_in", "secondary_in")
                if key in part.arguments
            }
            assert used <= there, f"{part.name} needs {used - there}"
            there.add(part.name)


def test_the_comparison_comes_last_since_packets_flow_from_then_on() -> None:
    assert names(of().primary(False))[-1] == "colo-net0-compare"


def test_packets_go_round_as_the_documentation_draws_it() -> None:
    by_name = {part.name: part.arguments for part in of().primary(False)}
    assert by_name["colo-net0-f-mirror"]["queue"] == "tx"
    assert by_name["colo-net0-f-mirror"]["outdev"] == "colo-net0-mirror"
    assert by_name["colo-net0-f-in"] | {"queue": "rx", "outdev": "colo-net0-loop-in"} == by_name["colo-net0-f-in"]
    assert by_name["colo-net0-f-out"] | {"queue": "rx", "indev": "colo-net0-loop-out"} == by_name["colo-net0-f-out"]
    compare = by_name["colo-net0-compare"]
    assert (compare["primary_in"], compare["secondary_in"], compare["outdev"]) == (
        "colo-net0-loop-in-client", "colo-net0-compare-in", "colo-net0-loop-out-client",
    )  # fmt: skip
    assert compare["iothread"] == "iothread990"
    standby = {part.name: part.arguments for part in of().secondary(False)}
    assert (standby["colo-net0-f-red-in"]["queue"], standby["colo-net0-f-red-out"]["queue"]) == ("tx", "rx")
    assert standby["rewriter-net0"]["queue"] == "all"


def test_the_primary_listens_on_its_replication_address_alone() -> None:
    inet = [
        part.arguments["backend"]["data"]
        for part in of().primary(False)
        if not part.object and part.arguments["backend"]["data"]["addr"]["type"] == "inet"
    ]
    assert [(data["addr"]["data"]["host"], data["addr"]["data"]["port"]) for data in inet] == [
        ("10.0.0.1", "21602"),
        ("10.0.0.1", "21603"),
    ]
    assert all(data["server"] and data["wait"] is False for data in inet)


@pytest.mark.parametrize(("in_lockstep", "seconds"), [(False, proxy.RECONNECT_SECONDS), (True, proxy.NEVER_SECONDS)])
def test_the_standby_connects_there_and_again_as_long_as_it_waits_for_its_primary(
    in_lockstep: bool, seconds: int
) -> None:
    data = [part.arguments["backend"]["data"] for part in of().secondary(in_lockstep) if not part.object]
    assert [item["addr"]["data"]["port"] for item in data] == ["21602", "21603"]
    assert all(not item["server"] and item["reconnect"] == seconds for item in data)


def test_the_longest_wait_is_one_that_qemu_can_count() -> None:
    assert 30 * 24 * 3600 * 1000 < proxy.NEVER_SECONDS * 1000 < 2**32, "a guint of milliseconds"


def test_the_local_sockets_are_those_of_this_domain_and_nic() -> None:
    paths = {
        part.name: part.arguments["backend"]["data"]["addr"]["data"]["path"]
        for part in of(alias="net1").primary(False)
        if "loop" in part.name
    }
    assert paths["colo-net1-loop-in"] == paths["colo-net1-loop-in-client"]
    assert paths["colo-net1-loop-out"] == paths["colo-net1-loop-out-client"]
    assert len(set(paths.values())) == 2
    assert all(path.startswith(f"{DIRECTORY}/colo-net1-") for path in paths.values())
    assert all(len(path) < 108 for path in paths.values()), "sun_path of unix(7)"


def test_after_a_failover_the_filters_go_before_the_rewriter_that_stayed() -> None:
    fresh = [part.arguments for part in of().primary(False) if "filter" in str(part.arguments.get("qom-type"))]
    again = [part.arguments for part in of().primary(True) if "filter" in str(part.arguments.get("qom-type"))]
    assert len(again) == 3
    assert all((part["insert"], part["position"]) == ("before", "id=rewriter-net0") for part in again)
    assert not any("position" in part for part in fresh)


def test_the_rewriter_alone_is_not_under_the_prefix_that_cleaning_up_goes_by() -> None:
    parts = [*of().primary(False), *of().secondary(False)]
    assert [name for name in names(parts) if not name.startswith("colo-")] == ["rewriter-net0"]


def test_two_nics_share_no_name() -> None:
    one, other = (
        set(names([*of(alias=alias).primary(False), *of(alias=alias).secondary(False)])) for alias in ("net0", "net1")
    )
    assert not one & other
