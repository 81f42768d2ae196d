# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.errors import ColoError, LibvirtError, QmpError, Timeout
from ansible_collections.lockstep.colo.plugins.module_utils.host import hypervisor as module
from ansible_collections.lockstep.colo.plugins.module_utils.host.hypervisor import Hypervisor


class Refused(Exception):
    def get_error_code(self) -> int:
        return module.NO_SUCH_DOMAIN


class Session:
    """Stands where libvirt would, in the worker; a monitor command says how it goes wrong."""

    def __init__(self, uri: str) -> None:
        if uri == "without":
            raise ImportError("No module named 'libvirt'")
        self.calls = 0
        self.cut = False

    def alive(self) -> bool:
        return not self.cut

    def ready(self) -> None:
        """The connection is open."""

    def version(self) -> str:
        self.calls += 1
        return f"{os.getpid()} {self.calls}"

    def monitor(self, _name: str, request: str) -> str:
        if '"hang"' in request:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGALRM})
            time.sleep(60)
        if '"die"' in request:
            os._exit(3)
        if '"cut"' in request:
            self.cut = True
            raise ValueError("connection reset")
        if '"refuse"' in request:
            return '{"error": {"class": "GenericError", "desc": "no"}}'
        return f'{{"return": {request}}}'

    def describe(self, name: str, _secrets: bool) -> dict[str, Any]:
        raise Refused("no such domain") if name == "none" else ValueError("no")

    def events(self, _name: str, _patience: float) -> list[tuple[float, str, dict[str, Any]]]:
        return [(1.5, "STOP", {}), (2.0, "RESUME", {"a": 1})]


@pytest.fixture(name="hypervisor")
def with_session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hypervisor]:
    monkeypatch.setattr(module, "_Session", Session)
    with Hypervisor("qemu:///system") as hypervisor:
        yield hypervisor


def worker(hypervisor: Hypervisor) -> tuple[int, int]:
    pid, calls = hypervisor.version().split()
    return int(pid), int(calls)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_calls_go_to_one_process_that_is_not_this_one(hypervisor: Hypervisor) -> None:
    first, second = worker(hypervisor), worker(hypervisor)
    assert first[0] == second[0] != os.getpid()
    assert (first[1], second[1]) == (1, 2)


def test_a_call_that_hangs_ends_with_its_deadline_and_its_worker(hypervisor: Hypervisor) -> None:
    pid, _calls = worker(hypervisor)
    began = time.monotonic()
    with pytest.raises(Timeout, match=r"web1: QEMU did not answer hang within 0.3 s.*main loop hangs"):
        hypervisor.qmp("web1", "hang", deadline=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert not alive(pid)


def test_the_next_call_after_a_hang_gets_a_new_worker(hypervisor: Hypervisor) -> None:
    pid, _calls = worker(hypervisor)
    with pytest.raises(Timeout):
        hypervisor.qmp("web1", "hang", deadline=0.1)
    new, calls = worker(hypervisor)
    assert new != pid
    assert calls == 1


def test_a_late_answer_is_never_taken_for_that_of_the_next_call(hypervisor: Hypervisor) -> None:
    with pytest.raises(Timeout):
        hypervisor.qmp("web1", "hang", deadline=0.1)
    assert hypervisor.qmp("web1", "query-status") == {"execute": "query-status"}


def test_a_worker_that_dies_is_an_error_with_words(hypervisor: Hypervisor) -> None:
    with pytest.raises(ColoError, match="the process that speaks to libvirt died during monitor"):
        hypervisor.qmp("web1", "die")


def test_the_next_call_after_a_worker_died_gets_a_new_one(hypervisor: Hypervisor) -> None:
    pid, _calls = worker(hypervisor)
    with pytest.raises(ColoError):
        hypervisor.qmp("web1", "die")
    assert worker(hypervisor)[0] != pid
    os.kill(worker(hypervisor)[0], signal.SIGKILL)
    with pytest.raises(ColoError, match="died during version"):
        hypervisor.version()
    assert hypervisor.version()


def test_a_connection_that_libvirtd_gave_up_is_opened_anew(hypervisor: Hypervisor) -> None:
    assert worker(hypervisor)[1] == 1
    with pytest.raises(LibvirtError):
        hypervisor.qmp("web1", "cut")
    assert worker(hypervisor)[1] == 1
    with pytest.raises(LibvirtError):
        hypervisor.describe("other")
    assert worker(hypervisor)[1] == 2, "a refusal of libvirt's is no reason for a new one"


def test_closing_ends_the_worker(hypervisor: Hypervisor) -> None:
    pid, _calls = worker(hypervisor)
    hypervisor.close()
    assert not alive(pid)
    hypervisor.close()


def test_arguments_reach_the_monitor_and_are_left_out_when_there_are_none(hypervisor: Hypervisor) -> None:
    assert hypervisor.qmp("web1", "stop", {}) == {"execute": "stop"}
    assert hypervisor.qmp("web1", "qom-get", {"path": "/"}) == {"execute": "qom-get", "arguments": {"path": "/"}}


def test_qemus_refusal_carries_its_words(hypervisor: Hypervisor) -> None:
    with pytest.raises(QmpError, match="QEMU refused refuse: no") as raised:
        hypervisor.qmp("web1", "refuse")
    assert (raised.value.kind, raised.value.command) == ("GenericError", "refuse")


def test_a_domain_that_is_not_known_is_none_and_other_failures_are_not(hypervisor: Hypervisor) -> None:
    assert hypervisor.describe("none") is None
    with pytest.raises(LibvirtError, match="libvirt refused describe: ValueError: no"):
        hypervisor.describe("other")


def test_events_are_in_order(hypervisor: Hypervisor) -> None:
    assert [(event.when, event.name, event.data) for event in hypervisor.events("web1")] == [
        (1.5, "STOP", {}),
        (2.0, "RESUME", {"a": 1}),
    ]


def test_events_are_kept_by_the_domain_that_is_watched() -> None:
    session, registered = object.__new__(module._Session), []
    session.seen, session.arrived, session.loop, session.connection = {}, threading.Condition(), object(), None
    session.qemu = SimpleNamespace(qemuMonitorEventRegister=lambda *given: registered.append(given))
    session._domain = lambda name: name
    for name in ("web1", "web2", "web1"):
        session.watch(name)
    keepers = {domain: (keep, opaque) for _connection, domain, _event, keep, opaque, _flags in registered}
    assert (len(registered), set(keepers)) == (2, {"web1", "web2"})
    keep, opaque = keepers["web2"]
    keep(None, SimpleNamespace(name=lambda: "web2"), "STOP", 1, 2, None, opaque)
    assert session.events("web1", 0) == []
    assert [(name, domain) for _when, name, _data, domain in session.events("web2", 0)] == [("STOP", "web2")]
    assert session.events("web2", 0) == []


@pytest.mark.parametrize(
    ("name", "directory"),
    [("web1", "domain-7-web1"), ("a-name-of-more-than-twenty-letters", "domain-7-a-name-of-more-than-")],
)
def test_the_directory_of_a_domain_is_that_of_this_start(name: str, directory: str) -> None:
    session = object.__new__(module._Session)
    session.found = {name: SimpleNamespace(ID=lambda: -1)}
    known = SimpleNamespace(ID=lambda: 7, name=lambda: name)
    session.connection = SimpleNamespace(lookupByName=lambda asked: known if asked == name else None)
    assert session.directory(name) == f"/var/lib/libvirt/qemu/{directory}"


def test_a_python_without_libvirt_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_Session", Session)
    with Hypervisor("without") as hypervisor, pytest.raises(ColoError, match=r"cannot import libvirt.*python3-libvirt"):
        hypervisor.version()


@pytest.mark.parametrize(("active", "state"), [(True, "paused"), (False, "crashed")])
def test_a_guest_that_panicked_and_whose_qemu_was_kept_is_not_off(active: bool, state: str) -> None:
    """libvirt calls both crashed (qemuProcessGuestPanic with on_crash preserve)."""
    names = ("NOSTATE", "RUNNING", "BLOCKED", "PAUSED", "SHUTDOWN", "SHUTOFF", "CRASHED", "PMSUSPENDED")
    constants = {f"VIR_DOMAIN_{name}": number for number, name in enumerate(names)}
    session = module._Session.__new__(module._Session)
    session.libvirt = SimpleNamespace(**constants)
    domain = SimpleNamespace(state=lambda: [constants["VIR_DOMAIN_CRASHED"], 0], isActive=lambda: int(active))
    assert session._state(domain) == state
