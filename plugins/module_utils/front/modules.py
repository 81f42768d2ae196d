# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ansible's side of the core: the modules' common options, results and failures."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.respawn import has_respawned, probe_interpreters_for_module, respawn_module

from ..domain.editing import canonical, redacted
from ..domain.tree import DomainXmlError
from ..errors import ColoError
from ..host import files
from ..host.hypervisor import Hypervisor
from ..observation.codec import from_data, to_data
from ..observation.seen import Job, Observation
from ..observe.look import observe
from ..plan.step import Refusal, Step, Wanted, WantedDisk
from ..record.schema import LXML_IMPORT_ERROR, VocabularyError
from ..run.converge import Result
from ..verdict import pair, remarks

UNREACHABLE = "unreachable"
LOCK_PATIENCE = 60.0  # seconds to wait for another run on the same domain
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
    name, invocation = module.params["name"], _invocation(module.params)
    began = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        with _alone(module, began, urgent) if changes else contextlib.nullcontext() as other:
            if other:
                module.warn(f"{_where(module)}: ended another run that worked on this domain: {other}")
            with Hypervisor(module.params["uri"]) as hypervisor:
                returned = work(hypervisor)
    except Refusal as error:
        error.at(host=module.params["host"], domain=name)
        problems = [asdict(problem) for problem in error.problems]
        module.fail_json(msg=str(error), problems=problems, invocation=invocation)
    except ColoError as error:
        message = str(error.at(host=module.params["host"], domain=name))
        module.fail_json(msg=message, invocation=invocation)
    except (VocabularyError, DomainXmlError) as error:
        message = f"{_where(module)}: {error}. Correct the domain's XML (virsh edit), then run again"
        module.fail_json(msg=message, invocation=invocation)
    except OSError as error:
        message = f"{_where(module)}: {error}. Run again once the host is in order"
        module.fail_json(msg=message, invocation=invocation)
    module.exit_json(**returned, began=began, invocation=invocation)


def _alone(module: AnsibleModule, began: str, urgent: bool) -> contextlib.AbstractContextManager[str | None]:
    if module.check_mode:
        return contextlib.nullcontext()
    client = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    holder = f"{module._name}, begun {began}{f', from {client}' if client else ''}"
    return files.lock(module.params["name"], holder, LOCK_PATIENCE, take_over=urgent)


def _invocation(params: dict[str, Any]) -> dict[str, Any]:
    """The options as Ansible shows them; of another task's result, which may have passwords, only that it was given."""
    results = {key: "(an observation)" for key in ("peer", "projected") if params.get(key) not in (None, UNREACHABLE)}
    return {"module_args": {**params, **results}}


def _where(module: AnsibleModule) -> str:
    places = (("host", module.params["host"]), ("domain", module.params["name"]))
    return ", ".join(f"{kind} {value}" for kind, value in places if value)


def _need_libraries(module: AnsibleModule) -> None:
    """Go on in a Python that has libvirt and lxml: discovery may have picked another than the distribution's."""
    missing = [] if LXML_IMPORT_ERROR is None else ["lxml"]
    try:
        import libvirt  # noqa: F401
    except ImportError:
        missing.append("libvirt")
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
    if check and params.get("projected") is not None:
        return observation(params["projected"], "projected")
    return observe(hypervisor, params["name"], params["directory"], host_name=params["host"], **sights)


def reachable_peer(params: dict[str, Any]) -> Observation:
    """What was observed of the other host; ColoError when it is unreachable."""
    found = peer(params)
    if found is None:
        raise ColoError("the other host is unreachable", remedy="Bring it back first; after a loss, run colo_failover")
    return found


def returned(result: Result) -> dict[str, Any]:
    """A run as every module that changes something returns it."""
    return {
        "changed": result.changed,
        "finished": result.outcome.finished,
        "steps": [step.title for step in result.steps],
        "done": [asdict(step) for step in result.outcome.done],
        "seconds": result.seconds,
        "diff": _diff(result),
        **seen(result.after),
    }


def seen(observation: Observation, *, secrets: bool = False) -> dict[str, Any]:
    """An observation as modules return it: without passwords, unless they are asked for to make a standby."""
    data = to_data(observation)
    if data["domain"] and not secrets:
        for key in ("inactive_xml", "live_xml", "saved_xml"):
            if data["domain"].get(key):
                data["domain"][key] = redacted(data["domain"][key])
    return {
        "phase": pair.phase(observation),
        "problems": remarks.problems(observation),
        "notes": remarks.notes(observation),
        "sync": {name: progress(job) for name, job in _jobs(observation).items()},
        "observation": data,
    }


def _jobs(observation: Observation) -> dict[str, Job]:
    return observation.monitor.jobs if observation.monitor else {}


def progress(job: Job) -> dict[str, Any]:
    """How far a disk's sync has come."""
    percent = round(100 * job.done / job.total, 1) if job.total else 0.0
    return {"status": job.status, "done": job.done, "total": job.total, "percent": percent}


def _diff(result: Result) -> list[dict[str, Any]]:
    before, after = (one.domain.inactive_xml if one.domain else "" for one in (result.before, result.after))
    shown = [{"prepared": "".join(f"  {_line(step)}\n" for step in result.steps)}] if result.steps else []
    if before != after:
        shown.insert(
            0,
            {
                "before_header": "domain XML",
                "after_header": "domain XML",
                "before": canonical(redacted(before)) + "\n" if before else "",
                "after": canonical(redacted(after)) + "\n" if after else "",
            },
        )
    return shown


def _line(step: Step) -> str:
    return f"{'step' if step.changes else 'wait'}: {step.title}"
