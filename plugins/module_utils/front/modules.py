# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's side of the core: the modules' common options, results and failures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module

from ..errors import ColoError
from ..observation.codec import from_data
from ..observation.seen import Observation
from ..record.address import canonical
from ..record.wanted import Wanted, WantedDisk
from ..run import result, session
from ..run.session import Hypervisor

UNREACHABLE = "unreachable"
DEFAULTS = Wanted()
DISTRIBUTION_PYTHONS = ["/usr/bin/python3", "/usr/libexec/platform-python"]

COMMON = {
    "name": {"type": "str", "required": True, "aliases": ["domain"]},
    "host": {"type": "str"},
    "directory": {"type": "path", "default": DEFAULTS.directory},
    "uri": {"type": "str", "default": "qemu:///system"},
}
PROJECTED = {"projected": {"type": "raw"}}
PEER = {"peer": {"type": "raw", "required": True}}
ROLE = {"role": {"type": "str", "required": True, "choices": ["primary", "secondary"]}}
DISK = {
    "target": {"type": "str", "required": True},
    "format": {"type": "str", "required": True, "choices": ["raw", "qcow2"]},
    "path": {"type": "path"},
}
WANTED = {
    "disks": {"type": "list", "elements": "dict", "options": DISK, "default": []},
    "address": {"type": "str"},
    "peer_address": {"type": "str"},
    "first_port": {"type": "int"},
}
HANDOVER_OPTIONS = {
    "token": {"type": "str", "required": True, "no_log": True},
    "timeout": {"type": "float", "default": 60.0},
}
HANDOVER = {"handover": {"type": "dict", "options": HANDOVER_OPTIONS}}
STATE = {"state": {"type": "str", "default": "present", "choices": ["present", "absent"]}}


def run(
    module: AnsibleModule, work: Callable[[Hypervisor], dict[str, Any]], *, changes: bool = True, urgent: bool = False
) -> NoReturn:
    """Do the module's work and exit with what it returns, or fail with words for an operator; never a traceback.

    What ``changes`` a domain is alone at it. What is ``urgent`` ends another run on the domain instead of waiting.
    """
    _need_libraries(module)
    domain, host, invocation = module.params["name"], module.params["host"], _invocation(module.params)
    began = datetime.now(UTC).isoformat(timespec="milliseconds")
    holder = _holder(module, began) if changes and not module.check_mode else None

    def ended(other: str) -> None:
        module.warn(f"{result.where(domain, host)}: ended another run that worked on this domain: {other}")

    try:
        with session.open_session(module.params["uri"], domain, holder, urgent=urgent, ended=ended) as hypervisor:
            returned = work(hypervisor)
    except result.FAILURES as error:
        module.fail_json(**result.failure(error, domain, host), invocation=invocation)
    module.exit_json(**returned, began=began, invocation=invocation)


def _holder(module: AnsibleModule, began: str) -> str:
    client = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return f"{module._name}, begun {began}{f', from {client}' if client else ''}"


def _invocation(params: dict[str, Any]) -> dict[str, Any]:
    """The options as Ansible shows them; of another task's result, which may have passwords, only that it was given."""
    results = {key: "(an observation)" for key in ("peer", "projected") if params.get(key) not in (None, UNREACHABLE)}
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
        "(the role lockstep.colo.host does), or set ansible_python_interpreter to a Python that has them",
    )


def wanted(params: dict[str, Any]) -> Wanted:
    """The module's options as the core takes them; what a module does not have keeps its default."""
    names = [
        "address", "peer_address", "first_port", "checkpoint_delay", "sync_speed", "sync_wait", "directory",
        "image_owner", "image_group",
    ]  # fmt: skip
    given = {key: params[key] for key in names if params.get(key) is not None}
    given |= {key: canonical(given[key]) for key in ("address", "peer_address") if key in given}
    disks = tuple(WantedDisk(disk["target"], disk["format"], disk["path"]) for disk in params.get("disks") or ())
    return Wanted(disks=disks, **given)


def peer(params: dict[str, Any]) -> Observation | None:
    """The other host's observation; None where it is said to be unreachable."""
    value = params["peer"]
    return None if value is None or value == UNREACHABLE else observation(value, "peer")


def observation(value: Any, option: str) -> Observation:
    """The observation in a module's registered result, which Ansible may have turned into text."""
    try:
        data = json.loads(value) if isinstance(value, str) else value
        return from_data(Observation, data.get("observation", data))
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise ColoError(
            f"{option} is not what colo_info returns: {error}",
            remedy=f"Give the registered result of lockstep.colo.colo_info, or for a peer the word {UNREACHABLE}",
        ) from None


def look(hypervisor: Hypervisor, params: dict[str, Any], *, check: bool = False, **sights: Any) -> Observation:
    """What is on this host; in check mode what an earlier task of the run said would be, where that is given."""
    given = observation(params["projected"], "projected") if check and params.get("projected") is not None else None
    return session.look(hypervisor, params["name"], params["directory"], params["host"], given, **sights)


def reachable_peer(params: dict[str, Any]) -> Observation:
    """What was observed of the other host; ColoError when it is unreachable."""
    found = peer(params)
    if found is None:
        raise ColoError("the other host is unreachable", remedy="Bring it back first; after a loss, run colo_failover")
    return found
