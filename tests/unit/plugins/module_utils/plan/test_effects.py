# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace

from ansible_collections.lockstep.colo.plugins.module_utils.plan import effects
from ansible_collections.lockstep.colo.tests.unit.plugins.module_utils.recorded import recorded


def test_what_a_standby_held_goes_with_it() -> None:
    standby = recorded("protected-secondary")
    ours = {channel.port for channel in standby.record.channels()}
    other = max(ours) + 1000
    held = replace(
        standby,
        host=replace(standby.host, ports=(*standby.host.ports, *ours, other)),
        domain=replace(standby.domain, deleted=(standby.record.disks[0].active,)),
    )
    after = effects.ended(held)
    assert held.removed_images
    assert held.peer_sockets
    assert any(image.in_use for image in held.images.values())
    assert not after.removed_images
    assert not after.peer_sockets
    assert not any(image.in_use for image in after.images.values())
    assert other in after.host.ports
    assert not ours & set(after.host.ports)
    assert not after.domain.active
    assert after.monitor is None
    assert after.domain.live_xml is None
    assert after.domain.live_record is None
