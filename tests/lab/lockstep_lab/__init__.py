# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab of lockstep.colo: builds hosts and guests, breaks them, and measures what a client sees."""
