# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observations as a host would make them up that is compromised, and what may come of them on the other host.

A case is a number: the same number is the same case. What a mutated observation leads to is a refusal in words, or a
plan that touches nothing but the pair's own; never another exception. With each goes a line of that host's watcher, and
with each twentieth a report of what that host says it did.
"""

from __future__ import annotations

import copy
import json
import random
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible_collections.lockstep.colo.plugins.module_utils.domain.described import read_anew
from ansible_collections.lockstep.colo.plugins.module_utils.domain.marks import QEMU_NAMESPACE
from ansible_collections.lockstep.colo.plugins.module_utils.host.hotline import Line
from ansible_collections.lockstep.colo.plugins.module_utils.observation.codec import Unreadable, from_data, to_data
from ansible_collections.lockstep.colo.plugins.module_utils.observation.seen import Observation
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half, Speech, speech
from ansible_collections.lockstep.colo.plugins.module_utils.plan.change_sides import Handover
from ansible_collections.lockstep.colo.plugins.module_utils.plan.step import Step
from ansible_collections.lockstep.colo.plugins.module_utils.record import images
from ansible_collections.lockstep.colo.plugins.module_utils.run import result
from ansible_collections.lockstep.colo.plugins.module_utils.run.goals import GOALS, Fence, Request
from ansible_collections.lockstep.colo.plugins.module_utils.verdict import pair, preflight, word
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils import reported
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.reach import reached
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import NAMES, WANTED, recorded

REPORTED = 20  # of so many cases one is reported, which takes as long as four of them
DOMAIN = "web1"
NAMED_PATHS = {disk.path for disk in WANTED.disks if disk.path}
TEXTS = (
    "",
    " ",
    "../../../../etc/cron.d/x",
    "/etc/passwd",
    "x" * 5000,
    "a\x00b",
    "a\nb",
    "';id;'",
    "$(id)",
    "{{ lookup('pipe', 'id') }}",
    "<x/>",
    "&amp;",
    "\ud800",
    "☃",
    "-rf",
    "NaN",
    "tcp:0.0.0.0:4444",
    "0.0.0.0",
    "::1%lo",
)
NUMBERS = (-1, 0, 1, 2**31, 2**63 - 1, 2**63, 2**70, -(2**70), 0.5, float("nan"), float("inf"), 1e308)
OTHERS = (None, True, False, [], {}, [[]], {"": {}}, [None], {"x": "y"})
# Of other guests, of the host, and what is a path only to those who do not ask whether it begins with a slash.
PATHS = (
    "/tmp/evil",
    "tmp/evil",
    "evil",
    "/usr/bin/../../tmp/evil",
    "/var/lib/libvirt/qemu/domain-5-other/monitor.sock",
    "/run/libvirt/qemu/channel/5-other/org.qemu.guest_agent.0",
    "/var/lib/libvirt/qemu/save/other.save",
    "/var/lib/libvirt/qemu/save/web1.save",
    "/var/lib/libvirt/qemu/nvram/other_VARS.fd",
    "/var/log/libvirt/qemu/web1-2.log",
    "/run/libvirt/qemu/web1.xml",
    "/var/lib/libvirt/images/other.qcow2",
)
ARGUMENTS = (
    ("-monitor", "tcp:0.0.0.0:4444,server,nowait"),
    ("-qmp", "unix:x,server"),
    ("-pidfile", "xx"),
    ("-name", "-incoming"),
    ("-D", "/etc/cron.d/x"),
)
DEVICES = (
    "<filesystem type='mount'><source dir='/'/><target dir='x'/></filesystem>",
    "<emulator>/tmp/x</emulator>",
    "<disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='sdy'/><readonly/></disk>",
    "<disk type='block' device='disk'><source dev='/dev/sda'/><target dev='vdz'/></disk>",
    "<console type='file'><source path='/etc/cron.d/x'/></console>",
    "<hostdev mode='subsystem' type='usb'><source><vendor id='1'/><product id='2'/></source></hostdev>",
    "<disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='sdy'/></disk>",
    "<disk type='block' device='cdrom'><source dev='/dev/sda'/><target dev='sdy'/></disk>",
    "<disk type='file' device='disk'><source file='json:{}'/><target dev='vdy' bus='virtio'/><readonly/></disk>",
    "<disk type='volume' device='cdrom'><source pool='default' volume='other'/><target dev='sdy'/><readonly/></disk>",
    (
        "<disk type='network' device='cdrom'><source protocol='nbd' name='vda'><host name='10.0.0.3'/></source>"
        "<target dev='sdy' bus='sata'/><readonly/></disk>"
    ),
    "<disk xmlns:x='urn:x' type='file' device='cdrom'><x:source file='/etc/shadow'/><target dev='sdy'/></disk>",
    "<disk xmlns:x='urn:x' type='file' device='cdrom'><source x:file='/etc/shadow'/><target dev='sdy'/></disk>",
    "<interface type='ethernet'><source><ip address='10.0.0.9' prefix='24'/></source></interface>",
    "<channel type='unix'><target type='virtio' name='../../x'/></channel>",
    "<graphics type='vnc' keymap='../../../etc/shadow'/>",
    *(
        device.format(path)
        for device in (
            "<serial type='unix'><source mode='bind' path='{}'/><target port='1'/></serial>",
            "<channel type='unix'><source mode='bind' path='{}'/><target type='virtio' name='a.b.0'/></channel>",
            "<serial type='file'><source path='{}'/><target port='1'/></serial>",
            "<serial type='pty'><log file='{}'/><target port='1'/></serial>",
            (
                "<serial type='file'><source path='/var/log/libvirt/qemu/web1-serial0.log'><seclabel model='dac'>"
                "<label>{}</label></seclabel></source></serial>"
            ),
        )
        for path in PATHS
    ),
)
HOSTS_NETWORK = "<ip address='10.0.0.9' prefix='24'/><route address='0.0.0.0' prefix='0' gateway='10.0.0.1'/>"
ELSEWHERE = (
    "<nvram type='network'><source protocol='nbd' name='x'><host name='10.0.0.3' port='10809'/></source></nvram>",
    "<nvram type='block'><source dev='/dev/sda'/></nvram>",
)
BESIDE = (
    "<seclabel type='static' model='dac'><label>root:root</label></seclabel>",
    "<seclabel type='none'/>",
    "<os><type>hvm</type><kernel>/etc/shadow</kernel></os>",
    f"<commandline xmlns='{QEMU_NAMESPACE}'><arg value='-drive'/><arg value='file=/etc/shadow'/></commandline>",
    "<uuid>../../x</uuid>",
    "<name>database</name>",
)

# Which two recordings go together, and what is done then; without goals, anything.
FITTING: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("unprotected-primary", "unprotected-secondary", ("described primary",)),
    ("unprotected-secondary", "described-primary", ("described secondary",)),
    ("described-secondary", "described-primary", ("described secondary", "present secondary")),
    ("described-primary", "listening-secondary", ("present primary",)),
    ("mirror-ready-primary", "listening-secondary", ("present primary",)),
    ("protected-primary", "protected-secondary", ()),
    ("protected-secondary", "protected-primary", ()),
    ("protected-secondary", "protected-primary", ("described secondary",)),
    ("degraded-secondary", "stale-primary", ("surviving",)),
    ("stale-primary", "failed-over-secondary", ("plain secondary", "described secondary", "given_up")),
    ("protected-primary", "degraded-secondary", ("surviving", "given_up", "absent")),
)


@dataclass(frozen=True)
class Case:
    number: int
    seen: str
    peer: str
    goal: str
    changed: tuple[str, ...]


def _spot(rng: random.Random, data: Any) -> tuple[Any, ...]:
    """A way into the data, each key of a level as likely as the others, however much is below it."""
    where: list[Any] = []
    while isinstance(data, (dict, list)) and data and (not where or rng.random() < 0.9):
        where.append(rng.choice(sorted(data) if isinstance(data, dict) else range(len(data))))
        data = data[where[-1]]
    return tuple(where)


def _mutated_xml(rng: random.Random, xml: str) -> str:
    kind = rng.randrange(15)
    if kind == 8:
        return _with_text_changed(rng, xml)
    if kind == 9:
        return _with_path_changed(rng, xml)
    if kind == 10:
        tag = rng.choice(("kernel", "initrd", "loader", "nvram", "shim", "dtb"))
        return xml.replace("</os>", f"<{tag}>{_hidden(rng, '', rng.choice(PATHS))}</{tag}></os>")
    if kind == 11:
        return _with_arguments(rng, xml)
    if kind == 12:
        return xml.replace("</devices>", f"{rng.choice(DEVICES)}{_hidden(rng, '', '')}{rng.choice(DEVICES)}</devices>")
    if kind == 13:
        return with_nic_changed(xml, rng.choice(("ethernet", "bridge", "network")))
    if kind == 14:
        return xml.replace("</os>", f"{rng.choice(ELSEWHERE)}</os>")
    if kind == 0:
        return xml[: rng.randrange(len(xml) or 1)]
    if kind == 1:
        return f'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>{xml.replace("hvm", "&b;")}'
    if kind == 2:
        return xml.replace("</devices>", f"{rng.choice(DEVICES)}</devices>")
    if kind == 3:
        return xml.replace("</domain>", f"{rng.choice(BESIDE)}</domain>")
    if kind == 4:
        return "<a>" * 20_000
    if kind == 5:
        words = xml.split("'") if "'" in xml else xml.split('"')
        if len(words) > 3:
            words[rng.randrange(1, len(words), 2)] = str(rng.choice((*TEXTS, *NUMBERS)))
        return "'".join(words) if "'" in xml else '"'.join(words)
    if kind == 6:
        lines = xml.splitlines()
        del lines[rng.randrange(len(lines) or 1) : rng.randrange(len(lines) or 1)]
        return "\n".join(lines)
    at = rng.randrange(len(xml) or 1)
    return xml[:at] + rng.choice("<>&'\"/\x00é") + xml[at + 1 :]


def _hidden(rng: random.Random, before: str, what: str) -> str:
    """``what`` where a reader may miss it, who takes a text to end at the first node."""
    return rng.choice((f"<!--x-->{what}", f"{before}<!--x-->{what}", f"<?x y?>{what}", f"<x/>{what}", what))


def _with_text_changed(rng: random.Random, xml: str) -> str:
    """Another file, name, UUID or number for one that the domain has."""
    found = list(re.finditer(r"<(emulator|name|uuid|memory|vcpu|partition|loader)([^>]*)>([^<]*)</", xml))
    if not found:
        return xml
    one = rng.choice(found)
    text = _hidden(rng, one[3], rng.choice((*PATHS, "000", "-2")))
    return f"{xml[: one.start(3)]}{text}{xml[one.end(3) :]}"


def _with_path_changed(rng: random.Random, xml: str) -> str:
    """Another file for one that an attribute names."""
    found = list(re.finditer(r"""[ :](?:file|path|dev|socket|name|type)=(['"])([^'"]*)\1""", xml))
    if not found:
        return xml
    one = rng.choice(found)
    return f"{xml[: one.start(2)]}{rng.choice((*PATHS, 'volume', 'network', 'cdrom'))}{xml[one.end(2) :]}"


def with_nic_changed(xml: str, kind: str) -> str:
    """The first NIC of another kind, and with it an address and a route of the host."""
    nic = re.compile(r"""<interface type=['"]bridge['"](.*?<source [^>]*)/>""", re.DOTALL)
    return nic.sub(rf"<interface type='{kind}'\1>{HOSTS_NETWORK}</source>", xml, count=1)


def _with_arguments(rng: random.Random, xml: str) -> str:
    """One more argument or variable, in the element that there is or in one of its own."""
    given = "".join(f"<q:arg xmlns:q='{QEMU_NAMESPACE}' value='{value}'/>" for value in rng.choice(ARGUMENTS))
    if rng.random() < 0.3:
        value = rng.choice(("tmp/x.so", "/tmp/x.so", "/usr/lib/../../tmp/x.so"))
        given = f"<q:env xmlns:q='{QEMU_NAMESPACE}' name='{rng.choice(('LD_PRELOAD', 'LD_AUDIT'))}' value='{value}'/>"
    if "</qemu:commandline>" in xml:
        return xml.replace("</qemu:commandline>", f"{given}</qemu:commandline>")
    return xml.replace("</domain>", f"<q:commandline xmlns:q='{QEMU_NAMESPACE}'>{given}</q:commandline></domain>")


def _mutated(rng: random.Random, value: Any, key: Any) -> Any:
    if isinstance(value, str) and str(key).endswith("_xml") and rng.random() < 0.9:
        return _mutated_xml(rng, value)
    if rng.random() < 0.6:
        same = [one for one in (*TEXTS, *NUMBERS, *OTHERS) if type(one) is type(value)]
        return copy.deepcopy(rng.choice(same or [None]))
    if isinstance(value, dict) and rng.random() < 0.4:
        return {**value, rng.choice(TEXTS): rng.choice((*TEXTS, *NUMBERS, *OTHERS))}
    if isinstance(value, list) and rng.random() < 0.4:
        return value * rng.choice((0, 2, 3))
    return copy.deepcopy(rng.choice((*TEXTS, *NUMBERS, *OTHERS)))


def _change(rng: random.Random, data: Any, way: tuple[Any, ...]) -> None:
    """Have something else, or nothing, where the way leads."""
    *before, last = way
    for step in before:
        data = data[step]
    if isinstance(data, dict) and rng.random() < 0.1:
        del data[last]
    else:
        data[last] = _mutated(rng, data[last], last)


def make(number: int, forced: tuple[str, str, str] | None = None) -> tuple[Case, Any]:
    """The case of this number, and the other host's observation in it, as JSON would bring it.

    ``forced``: the two recordings and what is done then.
    """
    rng = random.Random(number)
    seen, peer, goal = rng.choice(NAMES), rng.choice(NAMES), rng.choice(sorted(GOALS))
    if rng.random() < 0.8:
        seen, peer, goals = rng.choice(FITTING)
        goal = rng.choice(goals or (goal,))
    seen, peer, goal = forced or (seen, peer, goal)
    data = json.loads(json.dumps(to_data(recorded(peer))))
    changed = []
    for _time in range(rng.choice((1, 1, 1, 2, 3))):
        way = _spot(rng, data)
        domain = data.get("domain")
        if rng.random() < 0.2 and isinstance(domain, dict) and domain:
            telling = [key for key in ("inactive_xml", "live_xml", "record", "uuid", "name") if domain.get(key)]
            way = ("domain", rng.choice(telling or sorted(domain)))
        _change(rng, data, way)
        changed.append(".".join(map(str, way)))
    return Case(number, seen, peer, goal, tuple(changed)), data


def run(number: int, forced: tuple[str, str, str] | None = None) -> str | None:
    """What came of the case that may not: the step or the exception, in words; None where all is well."""
    case, data = make(number, forced)
    if complaint := _of_a_line(number):
        return complaint
    if number % REPORTED == 0 and (complaint := reported.complaint(case.seen, result_of(number, data))):
        return f"{case}: {complaint}"
    try:
        complaint = _outcome(case, data)
    except (*result.FAILURES, Unreadable):
        return None
    except Exception as error:
        return f"{case}: {type(error).__name__}: {error}"
    return f"{case}: {complaint}" if complaint else None


def result_of(number: int, data: Any) -> dict[str, Any]:
    """What the other host's module returns in this case, with the observation of it."""
    rng = random.Random(f"result {number}")
    said = json.loads(json.dumps(reported.RAN))
    for _time in range(rng.choice((0, 1, 2, 3))):
        _change(rng, said, _spot(rng, said))
    return {**said, "observation": copy.deepcopy(data)}


RECORD = recorded("protected-primary").record
UUID = "6d5e0f58-2f51-4d5f-9a2e-7f0b5a3c1d10"
HALF = Half(UUID, RECORD.peer.machine_id, RECORD.generation, "secondary", "8 123", True, True, True, True)
SAID = Speech(RECORD.peer.machine_id, "b1", 7, "n0", (HALF, replace(HALF, uuid="another")))


class _Wire:
    """A connection by which these bytes come, and then nothing."""

    def __init__(self, line: bytes) -> None:
        self._left = line

    def recv(self, most: int) -> bytes:
        said, self._left = self._left[:most], self._left[most:]
        return said

    def getpeercert(self) -> dict[str, Any]:
        return {"subject": ((("commonName", RECORD.peer.host),),)}

    def settimeout(self, seconds: float) -> None:
        pass

    def setsockopt(self, *option: int) -> None:
        pass


def line(number: int) -> bytes:
    """What the peer's watcher says in this case."""
    rng = random.Random(f"line {number}")
    data = json.loads(json.dumps(asdict(SAID)))
    for _time in range(rng.choice((1, 1, 2))):
        if way := _spot(rng, data):
            _change(rng, data, way)
    text, kind = json.dumps(data), rng.randrange(12)
    at = rng.randrange(len(text))
    if kind == 0:
        text = text[:at]
    elif kind == 1:
        text = text[:at] + rng.choice('[]{}",:\\\x00é9') + text[at + 1 :]
    elif kind == 2:
        text = text.replace('"n0"', rng.choice(("[", '{"a":')) * rng.choice((70, 900, 40_000)))
    elif kind == 3:
        text = text.replace(" 7", f" {'7' * 5000}")
    elif kind == 4:
        text = text.replace('"n0"', f'"{"n" * rng.choice((81, 70_000, 300_000))}"')
    return text.encode("latin-1") + b"\n"


def _of_a_line(number: int) -> str | None:
    """What came of the line of this case that may not."""
    try:
        wire = Line(_Wire(line(number)))  # type: ignore[arg-type]
        said = speech(wire.hear())
        ear = word.Ear(wire.names, "n0")
        if word.disbelieved(ear, said) or word.is_old(word.Last("b1", 6), said):
            return None
        word.once_heard(ear, said, "n1", 1.0)
        half = word.half_for(RECORD, UUID, ear.names, said)
        if half and word.still_said(word.Word(half, 1.0, 1.0), 1.0, 2.0) != replace(half, gave_way=False):
            return f"line {number}: a word of before the last run counts"
        word.of_another_process(HALF, half or HALF)
    except (OSError, ValueError):
        return None
    except Exception as error:
        return f"line {number}: {type(error).__name__}: {error}"
    return None


def _outcome(case: Case, data: Any) -> str | None:
    seen, peer = recorded(case.seen), read_anew(from_data(Observation, data), DOMAIN)
    pair.pair(seen, peer)
    list(preflight.seen_here(WANTED, seen, peer))
    result.seen(peer)
    role = "secondary" if "secondary" in case.goal else "primary"
    wanted = WANTED if role == "primary" else replace(WANTED, address=None, peer_address=None)
    request = Request(DOMAIN, "kvm1", role, wanted, peer, fence=Fence("kvm2", "ended"), handover=Handover("t", 1.0))
    plan = GOALS[case.goal].decide(request, seen)
    domain = seen.domain or peer.domain
    own = images.home(WANTED.directory, domain.uuid if domain else case.peer)
    known = {path for record in (seen.record,) if record for path, _kind, _size in images.files(record.disks)}
    if seen.record is None or seen.record.role != "secondary":
        known |= {disk.source for disk in (seen.domain.disks if seen.domain else ()) if disk.source}
    return next(filter(None, (_outside(step, own, known) for step in plan.steps)), None)


def _outside(step: Step, own: str, known: set[str]) -> str | None:
    """What a step touches that is not the pair's own."""
    arguments = step.arguments
    for key in ("path", "directory"):
        path = arguments.get(key, own)
        if step.action != "qmp" and not (path == own or path.startswith(f"{own}/") or path in known | NAMED_PATHS):
            return f"{step.title} touches {path}"
    if step.action in ("define", "start_paused"):
        images = {path for path in known | NAMED_PATHS if path} | _in_home(own, arguments["xml"])
        told = reached(arguments["xml"], DOMAIN, own.rpartition("/libvirt-")[2], images)
        if told:
            return f"{step.title} with {'; '.join(told)[:500]}"
    return None


def _in_home(own: str, xml: str) -> set[str]:
    """The files right in the pair's own directory that are named."""
    return set(re.findall(rf"{re.escape(own)}/[\w.-]+", xml))
