# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests do with a cluster of the lab's hosts."""

from __future__ import annotations

import json

from colo_bed import Bed, Run
from lockstep_lab.common import ADDRESSES, CLIENT_ADDRESS, HOSTS, WITNESS

AGENT = "web1"  # the resource
VARIABLES = {
    "colo_automation": "word",
    "colo_cluster_qnetd": WITNESS,
    "colo_cluster_fence_agent_packages": [],  # the lab's own is there
    "colo_cluster_properties": {"stonith-action": "off"},
    "colo_cluster_quorum_device": {"algorithm": "ffsplit", "timeout": 2000, "sync_timeout": 2000},
    "colo_cluster_stonith": [
        {"id": f"fence-{host}", "agent": "fence_lab", "target": host, "instance_attrs": {"ip": CLIENT_ADDRESS}}
        for host in HOSTS
    ],
}
PLAY = [
    {
        "hosts": "quorum",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.include_role": {"name": "lockstep.colo.cluster", "tasks_from": "qnetd"}}],
    },
    {"hosts": "kvm", "gather_facts": False, "roles": [{"role": "lockstep.colo.cluster"}]},
]


def make(bed: Bed, *words: str, **variables: object) -> Run:
    """The role cluster on both hosts, and on the third, which ``equip`` has booted."""
    reached = {
        "ansible_user": "root",
        "ansible_ssh_common_args": f"-F {bed.lab.ssh_config}",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    inventory, play = bed.lab.state / "cluster-hosts.json", bed.lab.state / "cluster.yml"
    groups = {
        "kvm": {"vars": {**VARIABLES, **variables}},
        "quorum": {"hosts": {WITNESS: {"ansible_host": ADDRESSES[WITNESS], **reached}}},
    }
    inventory.write_text(json.dumps({"all": {"children": groups}}), encoding="utf-8")
    play.write_text(json.dumps(PLAY), encoding="utf-8")
    command = bed.command("deploy")
    return bed._run([*command[:-1], "-i", str(inventory), str(play), *words], 900)


def told(bed: Bed, host: str) -> str:
    """What the cluster says of itself there, in one text."""
    return bed.ssh(host, "crm_mon --one-shot --group-by-node --show-node-attributes --inactive --failcounts")


def journal(bed: Bed, host: str) -> str:
    """What the agent and the fencer said there last."""
    words = "journalctl --no-pager -o short-precise -n 400 | grep -E 'web1|fence' | tail -n 40"
    return bed.ssh(host, words, check=False)


def members(bed: Bed, host: str) -> bool:
    """Whether both hosts are in the cluster, and the pair's two halves in its charge."""
    text = bed.ssh(host, "crm_mon --one-shot --output-as=xml")
    online = text.count('online="true" standby="false"')
    roles = [text.count(f'resource_agent="ocf:lockstep:colo" role="{role}"') for role in ("Promoted", "Unpromoted")]
    return online == 2 and roles == [1, 1]
