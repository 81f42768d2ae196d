# Copyright (c) 2026 the lockstep.colo contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""colo_watcher, of whose answer only what is known goes on to the play."""

from __future__ import annotations

from ansible_collections.lockstep.colo.plugins.plugin_utils.guarded import GuardedAction


class ActionModule(GuardedAction):
    pass
