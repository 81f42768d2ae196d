# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the watcher measures, as node_exporter reads it."""

from __future__ import annotations

from types import SimpleNamespace

from ansible_collections.lockstep.colo.plugins.module_utils.observation.automation import Automation
from ansible_collections.lockstep.colo.plugins.module_utils.observation.word import Half
from ansible_collections.lockstep.colo.plugins.module_utils.run import metrics
from ansible_collections.lockstep.colo.plugins.module_utils.run.asker import Seen
from ansible_collections.lockstep.colo.plugins.module_utils.run.keeper import Counted

HALF = Half("u", "m", 3, "primary", running=True, answers=True, lockstep=True)


def keeper(domain: str = "web1", half: Half | None = HALF, **more: object) -> SimpleNamespace:
    told = Automation(hears=True, last_action="serve", last_ms=41)
    known = {"domain": domain, "half": half, "seen": Seen(), "counted": Counted(7, 99.5), "told": told, "guarded": True}
    return SimpleNamespace(**{**known, **more})


def test_each_value_is_told_once_with_its_kind_and_meaning() -> None:
    lines = metrics.text([keeper(), keeper('b"\\')], 100.0).splitlines()
    assert 'lockstep_colo_half{domain="web1",role="primary"} 1' in lines
    assert 'lockstep_colo_generation{domain="b\\"\\\\"} 3' in lines
    assert 'lockstep_colo_checkpoints_total{domain="web1"} 7' in lines
    assert 'lockstep_colo_checkpoint_age_seconds{domain="web1"} 0.5' in lines
    assert 'lockstep_colo_failover_milliseconds{domain="web1"} 41' in lines
    assert 'lockstep_colo_lacks_writes{domain="web1"} 0' in lines
    assert not [line for line in lines if "sync" in line], "nothing is being copied"
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names))
    for line in lines:
        assert line.startswith("# ") or line.partition("{")[0] in names


def test_a_copying_is_told_while_it_lasts() -> None:
    text = metrics.text([keeper(seen=Seen(job_done=5, job_total=10))], 100.0)
    assert 'lockstep_colo_sync_done_bytes{domain="web1"} 5' in text
    assert 'lockstep_colo_sync_total_bytes{domain="web1"} 10' in text


def test_of_what_is_not_known_yet_nothing_is_told() -> None:
    assert metrics.text([keeper(half=None)], 100.0) == ""
