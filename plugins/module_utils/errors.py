# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one failure type of the collection: what is wrong, where, and what to do about it."""

from __future__ import annotations


class ColoError(Exception):
    """A refusal or a failure that an operator has to read.

    ``what`` says what is wrong, ``remedy`` what to do; ``host``, ``domain`` and ``disk`` say where.
    """

    def __init__(
        self,
        what: str,
        *,
        remedy: str = "",
        host: str | None = None,
        domain: str | None = None,
        disk: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.host = host
        self.domain = domain
        self.disk = disk

    def at(self, *, host: str | None = None, domain: str | None = None) -> ColoError:
        """The same failure, with the place filled in where the one who raised it did not know it."""
        self.host = self.host or host
        self.domain = self.domain or domain
        return self

    def add(self, sentence: str) -> None:
        """Say one sentence more behind the remedy."""
        self.remedy = f"{self.remedy.rstrip('.')}. {sentence}" if self.remedy else sentence

    def __str__(self) -> str:
        place = ", ".join(
            f"{kind} {value}"
            for kind, value in (("host", self.host), ("domain", self.domain), ("disk", self.disk))
            if value
        )
        text = f"{place}: {self.what}" if place else self.what
        return f"{text.rstrip('.')}. {self.remedy}" if self.remedy else text


class Timeout(ColoError):
    """A call or a condition that did not come within its time; nothing is known about its outcome."""


class CommandFailed(ColoError):
    """A command of the host that ended with an error; ``what`` has its own words."""


class QmpError(ColoError):
    """QEMU refused a command. ``kind`` is QMP's error class, such as ``GenericError`` or ``CommandNotFound``."""

    def __init__(self, command: str, kind: str, description: str) -> None:
        super().__init__(f"QEMU refused {command}: {description}")
        self.command = command
        self.kind = kind
        self.description = description


class LibvirtError(ColoError):
    """libvirt refused a call. ``code`` is its VIR_ERR number, ``errno`` the kernel's where that was the reason."""

    def __init__(self, call: str, code: int, message: str, errno: int | None = None) -> None:
        super().__init__(f"libvirt refused {call}: {message}")
        self.code = code
        self.errno = errno
