# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""libvirt and QEMU's monitor on this host, behind calls that always come back.

``qemuMonitorCommand`` blocks without bound when QEMU's main loop hangs, and a thread that is blocked in it cannot be
cancelled. So the libvirt connection lives in a worker process; a call that misses its deadline costs the worker its
life, and the next call starts another. This is the only module that imports libvirt.
"""

from __future__ import annotations

import json
import multiprocessing.connection
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import ColoError, LibvirtError, QmpError, Timeout
from ..record.schema import NAMESPACE
from ..record.xml import PREFIX

CALL_DEADLINE = 10.0  # seconds; a healthy monitor answers in milliseconds
NO_SUCH_DOMAIN = 42  # VIR_ERR_NO_DOMAIN
SYSTEM_ERROR = 38  # VIR_ERR_SYSTEM_ERROR
# libvirt's qemuDomainSetPrivatePaths and virDomainDefGetShortName
DIRECTORY = "/var/lib/libvirt/qemu"
SHORT_NAME = 20  # characters
START_DEADLINE = 60.0  # seconds; libvirt starts a QEMU process in well under one on an idle host


def importable() -> bool:
    """Whether this Python has libvirt."""
    try:
        import libvirt  # noqa: F401
    except ImportError:
        return False
    return True


@dataclass(frozen=True)
class Event:
    """One QMP event of ``domain``; ``when`` is time.monotonic() of this host."""

    when: float
    name: str
    data: dict[str, Any]
    domain: str = ""


class Hypervisor:
    """The domains of the local libvirt. Every method has a deadline in seconds and raises Timeout when it passes."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._worker: _Worker | None = None

    def __enter__(self) -> Hypervisor:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process and with it the connection."""
        if self._worker:
            self._worker.kill()
            self._worker = None

    def _call(self, method: str, *arguments: Any, deadline: float = CALL_DEADLINE) -> Any:
        if self._worker is None:
            self._worker = _Worker(self._uri)
            # libvirtd may only now be started by its socket, and then looks at every emulator first.
            self._worker.call("ready", (), START_DEADLINE)
        try:
            return self._worker.call(method, arguments, deadline)
        except LibvirtError:
            raise  # an answer: the worker is well
        except ColoError:
            self.close()
            raise

    def qmp(
        self, domain: str, command: str, arguments: dict[str, Any] | None = None, deadline: float = CALL_DEADLINE
    ) -> Any:
        """Run one QMP command and return what it returns; QmpError when QEMU refuses it."""
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        try:
            reply = json.loads(self._call("monitor", domain, json.dumps(request), deadline=deadline))
        except Timeout:
            raise Timeout(
                f"QEMU did not answer {command} within {deadline:g} s",
                remedy="Its main loop hangs, most often on a connection to a peer that is gone; "
                "lockstep.colo.failover releases such connections first",
                domain=domain,
            ) from None
        if "error" in reply:
            raise QmpError(command, reply["error"]["class"], reply["error"]["desc"])
        return reply["return"]

    def version(self) -> str:
        """libvirt's version, such as ``11.3.0``."""
        return self._call("version")

    def glimpse(self, domain: str) -> dict[str, Any] | None:
        """What libvirt says of ``domain`` without its lock, which a call to a QEMU that hangs may hold.

        Even the inactive XML waits for that lock; name, state and metadata do not (our measurement, libvirt 11.3).
        """
        return self._known("glimpse", domain)

    def describe(self, domain: str, secrets: bool = True, deadline: float = CALL_DEADLINE) -> dict[str, Any] | None:
        """What libvirt says of ``domain`` without asking its monitor; None where it is not known."""
        return self._known("describe", domain, secrets, deadline=deadline)

    def _known(self, method: str, *arguments: Any, deadline: float = CALL_DEADLINE) -> dict[str, Any] | None:
        try:
            return self._call(method, *arguments, deadline=deadline)
        except LibvirtError as error:
            if error.code == NO_SUCH_DOMAIN:
                return None
            raise

    def directory(self, domain: str) -> str:
        """Where libvirt keeps the sockets of the running ``domain``: QEMU itself could name any."""
        return self._call("directory", domain)

    def records(self) -> dict[str, str]:
        """The collection's records of all domains on this host: domain name to XML."""
        return self._call("records")

    def paired(self) -> dict[str, tuple[str, str]]:
        """The domains on this host that have a record of the collection: by UUID their name and the record's XML."""
        return self._call("paired")

    def stock(self) -> dict[str, Any]:
        """What domains of this libvirt can refer to by name.

        ``networks``: pairs of XML and whether it is active. ``filters``: names, or None where this libvirt has no
        nwfilter driver. ``domains``: UUID to name.
        """
        return self._call("stock")

    def define(self, xml: str) -> None:
        """Define a persistent domain, validated by libvirt's schema; libvirt may look at its emulator first."""
        self._call("define", xml, deadline=START_DEADLINE)

    def set_metadata(self, domain: str, record: str | None, *, live: bool) -> None:
        """Write the record (an element as text; None removes it) to the persistent and, when ``live``, the live XML."""
        self._call("set_metadata", domain, record, live)

    def start_paused(self, xml: str) -> None:
        """Start a domain with ``xml``, its guest paused; what is persistently defined of it stays as it is."""
        self._call("start_paused", xml, deadline=START_DEADLINE)

    def start(self, domain: str, deadline: float = START_DEADLINE) -> None:
        """Start a domain; from its managed save, if there is one. LibvirtError where it does not start."""
        self._call("start", domain, deadline=deadline)

    def managed_save(self, domain: str, deadline: float) -> None:
        """Write the guest's memory to libvirt's managed save, and end its QEMU; the next start restores it."""
        self._call("managed_save", domain, deadline=deadline)

    def define_saved(self, domain: str, xml: str) -> None:
        """Change the XML with which a managed save is restored."""
        self._call("define_saved", domain, xml)

    def attempt(self, xml: str) -> None:
        """Start a transient domain, its guest paused, and end it at once; LibvirtError where it does not start."""
        self._call("attempt", xml, deadline=START_DEADLINE)

    def destroy(self, domain: str) -> None:
        """End the domain's QEMU; LibvirtError where it does not run."""
        self._call("destroy", domain, deadline=START_DEADLINE)

    def undefine(self, domain: str) -> None:
        """Forget the persistent domain, with what libvirt keeps of it, but no image."""
        self._call("undefine", domain)

    def set_autostart(self, domain: str, on: bool) -> None:
        """Have libvirt start the domain with the host, or not."""
        self._call("set_autostart", domain, on)

    def add_iothread(self, domain: str, number: int) -> None:
        """Add a live I/O thread through libvirt: one made by object-add makes ``virsh domstats`` crash libvirtd."""
        self._call("add_iothread", domain, number)

    def del_iothread(self, domain: str, number: int) -> None:
        """Remove a live I/O thread through libvirt."""
        self._call("del_iothread", domain, number)

    def watch(self, domain: str | None) -> None:
        """Begin to collect the QMP events of ``domain``, or of all, for :meth:`events`."""
        self._call("watch", domain)

    def events(self, domain: str | None, patience: float = 0.0) -> list[Event]:
        """The QMP events of ``domain``, or of all for None, that came since the last call, in order.

        Where there is none yet, one is waited for, up to ``patience`` seconds.
        """
        return [Event(*item) for item in self._call("events", domain, patience, deadline=CALL_DEADLINE + patience)]


class _Worker:
    """A forked process that owns a libvirt connection and answers one call at a time."""

    def __init__(self, uri: str) -> None:
        ours, theirs = multiprocessing.connection.Pipe()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            _serve(theirs, uri)
        theirs.close()
        self._pipe = ours

    def call(self, method: str, arguments: tuple[Any, ...], deadline: float) -> Any:
        try:
            self._pipe.send((method, arguments))
            if not self._pipe.poll(deadline):
                raise Timeout(
                    f"libvirt did not answer {method} within {deadline:g} s",
                    remedy="See on this host whether it answers others (virsh list), and what its journal says "
                    "(libvirtd or virtqemud); then run again",
                )
            outcome, value = self._pipe.recv()
        except (EOFError, OSError):
            raise ColoError(f"the process that speaks to libvirt died during {method}", remedy="Run again") from None
        if outcome == "libvirt":
            raise LibvirtError(method, *value)
        if outcome == "missing":
            raise ColoError(value, remedy="Install python3-libvirt on this host: the role lockstep.colo.host does")
        return value

    def kill(self) -> None:
        self._pipe.close()
        try:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def _serve(pipe: multiprocessing.connection.Connection, uri: str) -> NoReturn:
    """The worker's life: answer calls until the pipe closes. Never returns, never runs the parent's exit handlers."""
    try:
        try:
            session: _Session | None = None
            while True:
                method, arguments = pipe.recv()
                try:
                    session = session or _Session(uri)
                    pipe.send(("value", getattr(session, method)(*arguments)))
                except ImportError as error:
                    pipe.send(("missing", f"this Python cannot import libvirt: {error}"))
                except Exception as error:  # libvirt's class cannot be named before the import
                    if session and not session.alive():
                        session = None  # libvirtd was restarted: the next call may be one that frees the guest
                    pipe.send(_failure(error))
        except (EOFError, OSError):
            pass
    finally:
        os._exit(0)


def _failure(error: Exception) -> tuple[str, Any]:
    code = getattr(error, "get_error_code", None)
    if code is None:
        return "libvirt", (-1, f"{type(error).__name__}: {error}")
    # The number of a failed call of the kernel travels in int1, also from the daemon (virReportSystemError).
    errno = error.get_int1() if code() == SYSTEM_ERROR else None
    return "libvirt", (code(), str(error), errno)


class _Session:
    """The libvirt side, inside the worker."""

    def __init__(self, uri: str) -> None:
        import libvirt
        import libvirt_qemu

        self.libvirt, self.qemu = libvirt, libvirt_qemu
        libvirt.registerErrorHandler(lambda *unused: None, None)
        libvirt.virEventRegisterDefaultImpl()
        self.connection = libvirt.open(uri)
        # Events by the domain that is watched; None: of all domains.
        self.seen: dict[str | None, list[tuple[float, str, dict[str, Any], str]]] = {}
        self.arrived = threading.Condition()
        self.loop: threading.Thread | None = None
        self.found: dict[str, Any] = {}

    def ready(self) -> None:
        """Nothing; that it is answered shows that the connection is open."""

    def alive(self) -> bool:
        """Whether libvirtd still has this connection."""
        return bool(self.connection.isAlive())

    def glimpse(self, name: str) -> dict[str, Any]:
        domain = self._domain(name)
        return {
            "name": domain.name(),
            "uuid": domain.UUIDString(),
            "state": self._state(domain),
            "ended_by": self._ended_by(domain),
            "persistent": bool(domain.isPersistent()),
            "record": self._record(domain),
        }

    def _domain(self, name: str) -> Any:
        if name not in self.found:
            self.found[name] = self.connection.lookupByName(name)
        return self.found[name]

    def directory(self, name: str) -> str:
        domain = self.connection.lookupByName(name)  # one that is held has the number of an earlier start
        return f"{DIRECTORY}/domain-{domain.ID()}-{domain.name()[:SHORT_NAME]}"

    def version(self) -> str:
        number = self.connection.getLibVersion()
        return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"

    def stock(self) -> dict[str, Any]:
        try:
            filters = [one.name() for one in self.connection.listAllNWFilters()]
        except self.libvirt.libvirtError:
            filters = None
        try:
            networks = [(one.XMLDesc(), bool(one.isActive())) for one in self.connection.listAllNetworks()]
        except self.libvirt.libvirtError:
            networks = []
        domains = {one.UUIDString(): one.name() for one in self.connection.listAllDomains()}
        return {"networks": networks, "filters": filters, "domains": domains}

    def monitor(self, name: str, request: str) -> str:
        return self.qemu.qemuMonitorCommand(self._domain(name), request, 0)

    def describe(self, name: str, secrets: bool) -> dict[str, Any]:
        lv = self.libvirt
        domain = self.connection.lookupByName(name)
        self.found[name] = domain
        secure = lv.VIR_DOMAIN_XML_SECURE if secrets else 0
        active = bool(domain.isActive())
        return {
            "name": domain.name(),
            "uuid": domain.UUIDString(),
            "state": self._state(domain),
            "ended_by": self._ended_by(domain),
            "persistent": bool(domain.isPersistent()),
            "autostart": bool(domain.autostart()) if domain.isPersistent() else False,
            "inactive_xml": domain.XMLDesc(lv.VIR_DOMAIN_XML_INACTIVE | secure),
            "live_xml": domain.XMLDesc(secure) if active else None,
            "saved_xml": self._saved_xml(domain, secrets),
            "snapshots": self._snapshots(domain),
            "tainted": self._taints(domain) if active else [],
        }

    def _state(self, domain: Any) -> str:
        lv = self.libvirt
        states = {
            getattr(lv, constant): constant.removeprefix("VIR_DOMAIN_").lower()
            for constant in (
                "VIR_DOMAIN_RUNNING", "VIR_DOMAIN_BLOCKED", "VIR_DOMAIN_PAUSED", "VIR_DOMAIN_SHUTDOWN",
                "VIR_DOMAIN_SHUTOFF", "VIR_DOMAIN_CRASHED", "VIR_DOMAIN_PMSUSPENDED",
            )
        }  # fmt: skip
        state = domain.state()[0]
        if state == lv.VIR_DOMAIN_CRASHED and domain.isActive():
            return "paused"  # its guest has panicked, and on_crash keeps its QEMU
        return states.get(state, "unknown")

    def _saved_xml(self, domain: Any, secrets: bool) -> str | None:
        """With which XML libvirt restores the guest from the managed save that it has of it."""
        if not domain.isPersistent() or not domain.hasManagedSaveImage():
            return None
        return domain.managedSaveGetXMLDesc(self.libvirt.VIR_DOMAIN_SAVE_IMAGE_XML_SECURE if secrets else 0)

    def _snapshots(self, domain: Any) -> list[str]:
        """The names of its snapshots and checkpoints."""
        return [*domain.snapshotListNames(), *(one.getName() for one in domain.listAllCheckpoints())]

    def managed_save(self, name: str) -> None:
        self._domain(name).managedSave(self.libvirt.VIR_DOMAIN_SAVE_RUNNING)

    def define_saved(self, name: str, xml: str) -> None:
        self._domain(name).managedSaveDefineXML(xml, self.libvirt.VIR_DOMAIN_SAVE_RUNNING)

    def _ended_by(self, domain: Any) -> str | None:
        """Of a domain that does not run, why: shutdown, destroyed, crashed, ..., in libvirt's words."""
        lv = self.libvirt
        state, reason = domain.state()
        if state != lv.VIR_DOMAIN_SHUTOFF:
            return None
        prefix = "VIR_DOMAIN_SHUTOFF_"
        reasons = {getattr(lv, name): name.removeprefix(prefix).lower() for name in dir(lv) if name.startswith(prefix)}
        return reasons.get(reason)

    def _record(self, domain: Any) -> str | None:
        lv = self.libvirt
        flag = lv.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else lv.VIR_DOMAIN_AFFECT_LIVE
        try:
            return domain.metadata(lv.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, flag)
        except lv.libvirtError:  # it has none, or was undefined meanwhile
            return None

    def _taints(self, domain: Any) -> list[str]:
        messages = getattr(domain, "messages", None)
        if messages is None:  # libvirt-python before 7.1
            return []
        return list(messages(self.libvirt.VIR_DOMAIN_MESSAGE_TAINTING))

    def records(self) -> dict[str, str]:
        found = {domain.name(): self._record(domain) for domain in self.connection.listAllDomains()}
        return {name: record for name, record in found.items() if record is not None}

    def paired(self) -> dict[str, tuple[str, str]]:
        found = {}
        for one in self.connection.listAllDomains():
            try:
                record = self._record(one)
            except self.libvirt.libvirtError:  # it is gone meanwhile
                continue
            if record is not None:
                found[one.UUIDString()] = (one.name(), record)
        return found

    def define(self, xml: str) -> None:
        self.connection.defineXMLFlags(xml, self.libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        self.found.clear()

    def set_metadata(self, name: str, record: str | None, live: bool) -> None:
        lv = self.libvirt
        flags = lv.VIR_DOMAIN_AFFECT_CONFIG | (lv.VIR_DOMAIN_AFFECT_LIVE if live else 0)
        self._domain(name).setMetadata(lv.VIR_DOMAIN_METADATA_ELEMENT, record, PREFIX, NAMESPACE, flags)

    def start_paused(self, xml: str) -> None:
        lv = self.libvirt
        self.connection.createXML(xml, lv.VIR_DOMAIN_START_PAUSED | lv.VIR_DOMAIN_START_VALIDATE)
        self.found.clear()

    def attempt(self, xml: str) -> None:
        lv = self.libvirt
        # With this connection it ends as well.
        flags = lv.VIR_DOMAIN_START_PAUSED | lv.VIR_DOMAIN_START_VALIDATE | lv.VIR_DOMAIN_START_AUTODESTROY
        self.connection.createXML(xml, flags).destroy()

    def start(self, name: str) -> None:
        self._domain(name).create()

    def destroy(self, name: str) -> None:
        self._domain(name).destroy()

    def undefine(self, name: str) -> None:
        lv = self.libvirt
        # Of snapshots and checkpoints only what libvirt keeps of them goes: with any of it, it refuses.
        metadata = lv.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | lv.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        self._domain(name).undefineFlags(lv.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | metadata)
        self.found.pop(name, None)

    def set_autostart(self, name: str, on: bool) -> None:
        self._domain(name).setAutostart(int(on))

    def add_iothread(self, name: str, number: int) -> None:
        self._domain(name).addIOThread(number, self.libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def del_iothread(self, name: str, number: int) -> None:
        self._domain(name).delIOThread(number, self.libvirt.VIR_DOMAIN_AFFECT_LIVE)

    def watch(self, name: str | None) -> None:
        if self.loop is None:
            self.loop = threading.Thread(target=self._run_loop, daemon=True)
            self.loop.start()
        if name not in self.seen:
            self.seen[name] = []
            domain = self._domain(name) if name else None
            self.qemu.qemuMonitorEventRegister(self.connection, domain, None, self._keep, name, 0)

    def _run_loop(self) -> None:
        while True:
            self.libvirt.virEventRunDefaultImpl()

    def _keep(self, *event: Any) -> None:
        _connection, domain, name, _seconds, _micros, details, watched = event
        with self.arrived:
            told = json.loads(details) if details else {}
            self.seen[watched].append((time.monotonic(), name, told, domain.name()))
            self.arrived.notify_all()

    def events(self, name: str | None, patience: float) -> list[tuple[float, str, dict[str, Any], str]]:
        with self.arrived:
            self.arrived.wait_for(lambda: self.seen[name], patience)
            seen, self.seen[name] = self.seen[name], []
        return seen
