# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The resource agent ``ocf:lockstep:colo``, as Pacemaker calls it: OCF's words to the core's, and back.

One resource is one pair, a promotable clone of two instances. No action ends a guest or starts one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from ..run import cluster, result, session

SUCCESS, GENERIC, UNIMPLEMENTED, INSTALLED, CONFIGURED, NOT_RUNNING = 0, 1, 3, 5, 6, 7
RUNNING_PROMOTED, DEGRADED_PROMOTED = 8, 191
CODE_OF = {
    "promoted": RUNNING_PROMOTED, "degraded": DEGRADED_PROMOTED, "unpromoted": SUCCESS, "stopped": NOT_RUNNING,
}  # fmt: skip
PROMOTE_TIMEOUT = 60  # seconds, where Pacemaker does not say how long it waits
MARGIN = 5.0  # seconds before that, in which an action says why it did not succeed
ACTIONS = ("start", "stop", "monitor", "promote", "demote", "notify", "validate-all")
META_DATA = f"""<?xml version="1.0"?>
<resource-agent name="colo" version="0.1.0">
<version>1.1</version>
<longdesc lang="en">
A guest that two hosts run in lockstep (QEMU COLO), as a promotable clone of two instances. The playbooks of the
Ansible collection lockstep.colo make the pair, protect it, and start it after both hosts were off. This agent tells
Pacemaker how each half stands, and has the guest go on from the other host once Pacemaker has fenced one. It believes
that only after it has looked: the fencing must have succeeded since the other host was heard last, and that host must
not answer.
No action ends a guest or starts one: stop and demote take it out of Pacemaker's hands.
</longdesc>
<shortdesc lang="en">A guest in lockstep on two hosts (QEMU COLO)</shortdesc>
<parameters>
<parameter name="domain" unique-group="domain" required="1">
<longdesc lang="en">The libvirt domain of the pair, which has the same name on both hosts.</longdesc>
<shortdesc lang="en">libvirt domain</shortdesc>
<content type="string"/>
</parameter>
</parameters>
<actions>
<action name="start" timeout="20s"/>
<action name="stop" timeout="20s"/>
<action name="monitor" role="Promoted" interval="9s" timeout="30s"/>
<action name="monitor" role="Unpromoted" interval="10s" timeout="30s"/>
<action name="promote" timeout="{PROMOTE_TIMEOUT}s"/>
<action name="demote" timeout="20s"/>
<action name="notify" timeout="30s"/>
<action name="meta-data" timeout="5s"/>
<action name="validate-all" timeout="20s"/>
</actions>
</resource-agent>
"""


def main(words: list[str], environment: Mapping[str, str] | None = None) -> int:
    """The exit code of one action, in OCF's terms; never a traceback. ``environment``: by default the process's own."""
    environment = os.environ if environment is None else environment
    action = words[0] if len(words) == 1 else "usage"
    if action == "meta-data":
        sys.stdout.write(META_DATA)
        return SUCCESS
    if action not in ACTIONS:
        _say(f"there is no action {action}: one of meta-data, {', '.join(ACTIONS)}")
        return UNIMPLEMENTED
    domain = environment.get("OCF_RESKEY_domain", "")
    if not domain or "/" in domain:
        return _refused("the parameter domain names no libvirt domain", CONFIGURED)
    if missing := session.missing_libraries():
        return _refused(f"Python has no {' and no '.join(missing)}: the role lockstep.colo.host installs it", INSTALLED)
    try:
        return _act(action, domain, environment)
    except result.FAILURES as error:
        words_of_it = result.failure(error, domain, None)["msg"]
        if action in ("notify", "stop", "demote"):  # by whose failing Pacemaker would fence a host whose guest is well
            _say(words_of_it)
            return SUCCESS
        return _refused(words_of_it, GENERIC)


def _act(action: str, domain: str, environment: Mapping[str, str]) -> int:
    half = cluster.Half(domain, lambda line: _say(f"{domain}: {line}"))
    if action == "start":
        half.take_charge()
    elif action == "stop":
        half.leave()
    elif action == "promote":
        half.promote(_patience(environment))
    elif action == "monitor":
        found = half.look()
        if found.why and CODE_OF[found.state] == DEGRADED_PROMOTED:
            _exit_reason(found.why)
        return CODE_OF[found.state]
    elif action == "notify" and _other_is_stopped(environment):
        half.notified()
    return SUCCESS


def _other_is_stopped(environment: Mapping[str, str]) -> bool:
    """Whether a notification says that an instance was stopped, as that of a host is once it was fenced.

    It is an occasion to look: what has become of the other host is not learned from it. Whoever waits for a promotion
    waits for each notification.
    """
    told = [environment.get(f"OCF_RESKEY_CRM_meta_notify_{what}") for what in ("type", "operation")]
    return told == ["post", "stop"]


def _patience(environment: Mapping[str, str]) -> float:
    """Seconds in which a promotion may be tried."""
    told = environment.get("OCF_RESKEY_CRM_meta_timeout", "")  # milliseconds
    return max((int(told) / 1000 if told.isdigit() else PROMOTE_TIMEOUT) - MARGIN, 1.0)


def _refused(why: str, code: int) -> int:
    _exit_reason(why)
    return code


def _exit_reason(why: str) -> None:
    """What Pacemaker shows beside the result of an action: one line behind the words that it looks for."""
    _say(f"ocf-exit-reason:{' '.join(why.split())}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
