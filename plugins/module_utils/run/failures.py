# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run may end with, and what an operator does about it; whatever else is raised is a defect."""

from __future__ import annotations

from ..domain.tree import DomainXmlError
from ..errors import ColoError
from ..record.schema import VocabularyError

FAILURES = (ColoError, VocabularyError, DomainXmlError, OSError)


def with_remedy(error: Exception) -> ColoError:
    """One of FAILURES, as the one that says what to do."""
    if isinstance(error, ColoError):
        return error
    remedy = "Run again once the host is in order"
    if isinstance(error, VocabularyError):
        remedy = (
            "Correct it in what was stated for this pair; where it was not stated, the record in the domain's metadata "
            "has it (virsh metadata)"
        )
    if isinstance(error, DomainXmlError):
        remedy = "Correct the domain's XML (virsh edit), then run again"
    return ColoError(str(error), remedy=remedy)
