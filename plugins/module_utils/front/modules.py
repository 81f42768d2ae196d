# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's side of the core: the modules' common options, results and failures."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module

from ..errors import ColoError
from ..observation.automation import Settings
from ..observation.codec import from_data
from ..observation.decoded import decoded
from ..observation.depth import THOROUGH, UNASKED
from ..observation.format import refuse_other
from ..observation.seen import Observation
from ..record.address import canonical
from ..record.pair import CHOICES, PKI_DIRECTORY, RESYNCS, TLS
from ..record.wanted import Wanted, WantedDisk
from ..run import automation, credentials, goals, result, session, titles
from ..run.converge import Result
from ..run.goals import Fence, Handover, Questions, Request
from ..run.status import Ask, status

UNREACHABLE = "unreachable"
NOTHING: Mapping[str, Any] = MappingProxyType({})
DEFAULTS = Wanted()
PROMOTE_WITHIN = Request.promote_within  # seconds of silence
WISHES = (
    "address", "peer_address", "first_port", "checkpoint_delay", "uncompared", "tls", "resync", "sync_speed",
    "sync_wait", "directory", "image_owner", "image_group",
)  # fmt: skip
SAID = (
    "role",
    "i_accept_that_two_guests_may_run",
    "promote_within",
    "unproven",
)  # options that a request has by the same name
ASKED = ("watch", "checkpoint", "frames", "trial", "secrets")  # options that an Ask has by the same name
DISTRIBUTION_PYTHONS = ["/usr/bin/python3", "/usr/libexec/platform-python"]

COMMON = {
    "name": {"type": "str", "required": True, "aliases": ["domain"]},
    "host": {"type": "str"},
    "directory": {"type": "path", "default": DEFAULTS.directory},
    "uri": {"type": "str", "default": Settings.uri},
}
PROJECTED = {"projected": {"type": "raw"}}
PEER = {"peer": {"type": "raw", "required": True}}
ROLE = {"role": {"type": "str", "required": True, "choices": ["primary", "secondary"]}}
DISK = {
    "target": {"type": "str", "required": True},
    "format": {"type": "str", "required": True, "choices": ["raw", "qcow2"]},
    "path": {"type": "path"},
    "overwrite": {"type": "bool", "default": False},
}
WANTED = {
    "disks": {"type": "list", "elements": "dict", "options": DISK, "default": []},
    "address": {"type": "str"},
    "peer_address": {"type": "str"},
    "first_port": {"type": "int"},
}
UNPROVEN = {"devices_unproven": {"type": "list", "elements": "str", "default": []}}
TLS_OPTION = {"tls": {"type": "str", "default": DEFAULTS.tls, "choices": list(TLS)}}
RESYNC = {"resync": {"type": "str", "default": DEFAULTS.resync, "choices": list(RESYNCS)}}
UNCOMPARED = {"uncompared": {"type": "str", "default": DEFAULTS.uncompared, "choices": list(CHOICES)}}
HANDOVER_OPTIONS = {
    "token": {"type": "str", "required": True, "no_log": True},
    "timeout": {"type": "float", "default": Handover.timeout},
    "note": {"type": "bool", "default": Handover.note},
}
HANDOVER = {"handover": {"type": "dict", "options": HANDOVER_OPTIONS}}
CREDENTIAL_NAMES = [
    "ca-cert.pem",
    "server-cert.pem",
    "server-key.pem",
    "client-cert.pem",
    "client-key.pem",
    "dh-params.pem",
]
CREDENTIAL = {
    "name": {"type": "str", "required": True, "choices": CREDENTIAL_NAMES},
    "src": {"type": "path", "required": True},
    "owner": {"type": "str", "required": True},
    "mode": {"type": "str", "required": True},
    "content": {"type": "str", "no_log": True},
}
CREDENTIALS = {
    "files": {"type": "list", "elements": "dict", "options": CREDENTIAL, "required": True},
    "place": {"type": "path", "default": PKI_DIRECTORY},
}
STATE = {"state": {"type": "str", "default": "present", "choices": ["present", "absent"]}}


def reach(
    module: AnsibleModule, goal: str, also: Callable[[Result, Request], dict[str, Any]] = lambda _done, _asked: {}
) -> NoReturn:
    """Bring the domain to a goal of run.goals and exit with what that came to, and with what is ``also`` to be told."""

    told = {"title": titles.title(goal), "host": module.params["host"]}

    def work(began: str) -> dict[str, Any]:
        asked = request(module)
        told["title"] = titles.title(goal, asked)
        done = goals.reach(goal, asked, uri=module.params["uri"], owner=_owner(module, began), ended=ended)
        for words in result.unheard(done):
            module.warn(f"{result.where(module.params['name'], module.params['host'])}: {words}")
        return {**result.returned(done), **also(done, asked)}

    def ended(other: str) -> None:
        where = result.where(module.params["name"], module.params["host"])
        module.warn(f"{where}: ended another run that worked on this domain: {other}")

    _end(module, work, told)


def served_after(done: Result, _asked: Request) -> dict[str, Any]:
    """``served_after`` of a run, seconds until the guest was free to serve; None where it was not, or in check mode."""
    return {"served_after": done.outcome.served_after}


def survived(done: Result, asked: Request) -> dict[str, Any]:
    """What colo_failover adds: ``served_after``, ``unheard``, ``unsure``, and ``heard`` where a standby had heard."""
    heard = done.before.heard
    told = {**served_after(done, asked), "unheard": result.unheard(done), "unsure": result.unsure(done)}
    return {**told, **({"heard": asdict(heard)} if heard else {})}


def found_by_drill(done: Result, asked: Request) -> dict[str, Any]:
    """What colo_drill adds, ``drill`` and ``served_after``; nothing in check mode."""
    if asked.check:
        return {}
    return {"drill": result.drilled(done, asked.questions.addresses), **served_after(done, asked)}


def look(module: AnsibleModule) -> NoReturn:
    """Exit with how it stands, as run.status tells it."""
    params = module.params

    def work(_began: str) -> dict[str, Any]:
        asked = request(module)
        depth, told = THOROUGH if params["monitor"] else UNASKED, {key: params[key] for key in ASKED}
        ask = Ask(depth, **told, verdict=params["peer"] is not None)
        with session.open_session(params["uri"], asked.domain, None) as hypervisor:
            return {"changed": False, **status(hypervisor, asked, ask)}

    _end(module, work)


def guard(module: AnsibleModule) -> NoReturn:
    """Have this host's watcher guard a domain, or leave it alone, and exit with whether that is new."""
    params = module.params
    wanted = {"also": params["also"]} if params["guarded"] else None

    def work(_began: str) -> dict[str, Any]:
        with session.open_session(params["uri"], params["name"], None) as hypervisor:
            return automation.guard(hypervisor, params["name"], wanted, check=module.check_mode)

    _end(module, work)


def install(module: AnsibleModule) -> NoReturn:
    """Have this host's certificate and keys in place, and exit with whether that is new; before it has libvirt, too."""
    files, place = module.params["files"], module.params["place"]
    _finish(module, lambda _began: credentials.install(files, place, check=module.check_mode))


def _end(module: AnsibleModule, work: Callable[[str], dict[str, Any]], told: Mapping[str, Any] = NOTHING) -> NoReturn:
    """Do work at the domain, with the libraries that it takes, and exit."""
    _need_libraries(module)
    _finish(module, work, told)


def _finish(
    module: AnsibleModule, work: Callable[[str], dict[str, Any]], told: Mapping[str, Any] = NOTHING
) -> NoReturn:
    """Do the work and exit with what it returns, or fail with words for an operator; never a traceback.

    ``told``: what is returned either way.
    """
    invocation, began = _invocation(module.params), datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        returned = work(began)
    except result.FAILURES as error:
        failure = result.failure(error, module.params.get("name"), module.params.get("host"))
        module.fail_json(**failure, **told, invocation=invocation)
    module.exit_json(**returned, **told, began=began, invocation=invocation)


def _owner(module: AnsibleModule, began: str) -> str:
    client = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return f"{module._name}, begun {began}{f', from {client}' if client else ''}"


def _invocation(params: dict[str, Any]) -> dict[str, Any]:
    """The options as Ansible shows them; of another task's result, which may have passwords, only that it was given;
    of a key, which file it is."""
    results = {key: "(an observation)" for key in ("peer", "projected") if params.get(key) not in (None, UNREACHABLE)}
    if params.get("fence"):
        results["fence"] = {**params["fence"], "proof": "(a result)"}
    if params.get("files"):
        results["files"] = [{key: value for key, value in file.items() if key != "content"} for file in params["files"]]
    return {"module_args": {**params, **results}}


def _need_libraries(module: AnsibleModule) -> None:
    """Go on in a Python that has libvirt and lxml: discovery may have picked another than the distribution's."""
    missing = session.missing_libraries()
    if not missing:
        return
    if not has_respawned():
        for wanted in ("libvirt", "lxml"):
            interpreter = probe_interpreters_for_module(DISTRIBUTION_PYTHONS, wanted)
            if interpreter is None:
                break
        else:
            respawn_module(interpreter)
    module.fail_json(
        missing_libraries=missing,
        msg=f"Python on this host has no {' and no '.join(missing)}: install python3-libvirt and python3-lxml "
        "(lockstep.colo.deploy does, where --limit does not leave this host out), or set ansible_python_interpreter "
        "to a Python that has them",
    )


def request(module: AnsibleModule) -> Request:
    """The module's options as the core takes them; what a module does not have keeps its default."""
    params = module.params
    given: dict[str, Any] = {key: params[key] for key in SAID if params.get(key) is not None}
    if params.get("fence"):
        given["fence"] = Fence(**params["fence"], dry=module.check_mode)
    if params.get("handover"):
        given["handover"] = Handover(**params["handover"])
    if "addresses" in params:
        given["questions"] = Questions(tuple(params["addresses"]), params["timeout"])
    if module.check_mode and params.get("projected") is not None:
        given["projected"] = observation(params["projected"], "projected")
    peer = reachable(params.get("peer"))
    return Request(
        params["name"],
        params["host"],
        wanted=wanted(params, module.check_mode),
        peer=peer,
        check=module.check_mode,
        **given,
    )


def wanted(params: dict[str, Any], check: bool = False) -> Wanted:
    """The part of the options that says what a pair is to be."""
    given = {key: params[key] for key in WISHES if params.get(key) is not None}
    given |= {key: canonical(given[key]) for key in ("address", "peer_address") if key in given}
    disks = tuple(WantedDisk(**disk) for disk in params.get("disks") or ())
    unproven = tuple(params.get("devices_unproven") or ())
    return Wanted(disks=disks, devices_unproven=unproven, dry=check, **given)


def reachable(value: Any) -> Observation | None:
    """The other host's observation in an option ``peer``; None where it is said to be unreachable, or not given."""
    return None if value is None or value == UNREACHABLE else observation(value, "peer")


def observation(value: Any, option: str) -> Observation:
    """The observation in a module's registered result, which Ansible may have turned into text."""
    try:
        data = decoded(value) if isinstance(value, str) else value
        data = data.get("observation", data)
        refuse_other(Observation, data)
        return from_data(Observation, data)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise ColoError(
            f"{option} is not what colo_info returns: {error}",
            remedy=f"Give the registered result of lockstep.colo.colo_info, or for a peer the word {UNREACHABLE}",
        ) from None
