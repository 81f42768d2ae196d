# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct

import pytest
from ansible_collections.lockstep.colo.plugins.module_utils.apply import isolated

GUEST = bytes.fromhex("5254004d0032")
ADDRESS = bytes((10, 77, 0, 50))
# Written out after RFC 826, not with the code's own structures.
HEAD = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
ANSWER = b"\xff" * 6 + GUEST + b"\x08\x06" + HEAD + GUEST + ADDRESS + isolated.ASKER + b"\0" * 4


class Tap:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)


def test_an_answer_says_who_and_for_which_address() -> None:
    assert isolated._read(ANSWER) == (GUEST, ADDRESS)
    assert isolated._read(ANSWER + b"\0" * 18) == (GUEST, ADDRESS), "short frames are padded"


@pytest.mark.parametrize(
    ("frame", "source"),
    [
        (b"", b""),
        (ANSWER[:13], b""),
        (ANSWER[:30], GUEST),
        (ANSWER.replace(HEAD, HEAD[:-1] + b"\x01"), GUEST),
        (ANSWER.replace(b"\x08\x06" + HEAD, b"\x08\x00" + HEAD), GUEST),
    ],
)
def test_what_is_no_answer_is_heard_at_most(frame: bytes, source: bytes) -> None:
    assert isolated._read(frame) == (source, None)


def test_a_question_comes_from_no_address() -> None:
    tap = Tap()
    isolated._send([tap], [ADDRESS])  # type: ignore[list-item]
    (frame,) = tap.sent
    assert frame[:6] == b"\xff" * 6
    assert frame[12:22] == b"\x08\x06" + HEAD[:-1] + b"\x01"
    assert frame[28:32] == b"\0" * 4
    assert frame[38:42] == ADDRESS
    assert len(frame) == 42
