# SPDX-License-Identifier: GPL-3.0-or-later
"""Two bare QEMUs of this host in lockstep, emulated: does a standby execute the code that a checkpoint brought? JSON.

    replaced_code.py LIBRARY

with LIBRARY in their LD_PRELOAD. The guest is 51 bytes of firmware: it calls a function of its own for ever, writes the
letter that this returns to the debug console, and puts each byte from its serial port into the function's code as the
next letter. The primary alone is sent some; the standby has them of checkpoints. Out comes, for each letter that was
sent, what the standby has in its memory and what it writes.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FUNCTION = 0x1000  # mov $letter,%al; lret
SENT = b"BCDEFGHI"
PATIENCE = 60.0  # seconds
GUEST = bytes.fromhex(
    "fa 31c0 8ed8"  # cli; xor %ax,%ax; mov %ax,%ds
    "c7060010 b041"  # movw $0x41b0,FUNCTION: mov $'A',%al
    "c6060210 cb"  # movb $0xcb,FUNCTION+2: lret
    "9a00100000 e6e9"  # again: lcall $0,$FUNCTION; out %al,$0xe9
    "bafd03 ec a801 7407"  # mov $0x3fd,%dx; in (%dx),%al; test $1,%al; jz rest
    "baf803 ec a20110"  # mov $0x3f8,%dx; in (%dx),%al; mov %al,FUNCTION+1
    "bb6400 b9ffff e2fe 4b 75f8"  # rest: 100 times 65,535 rounds of nothing
    "ebdd"  # jmp again
)
RESET = bytes.fromhex("ea 0000 00f0")  # ljmp $0xf000,$0, at the end of the firmware


class Machine:
    """A QEMU with that guest."""

    def __init__(self, place: Path, library: str, *words: str) -> None:
        place.mkdir()
        self.console, firmware = place / "console", place / "firmware"
        firmware.write_bytes(GUEST.ljust(0xFFF0, b"\0") + RESET.ljust(16, b"\0"))
        doors = {name: socket.socket(socket.AF_UNIX) for name in ("monitor", "serial")}
        command = ["env", f"LD_PRELOAD={library}", "qemu-system-x86_64", "-accel", "tcg", "-M", "pc", "-m", "16"]
        command += ["-nodefaults", "-display", "none", "-bios", str(firmware), "-debugcon", f"file:{self.console}"]
        for name, option in (("monitor", "-qmp"), ("serial", "-serial")):
            command += [option, f"unix:{place}/{name},server=on,wait=off"]
        self.process = subprocess.Popen([*command, *words], stdout=subprocess.DEVNULL)
        for name, door in doors.items():
            until(lambda name=name: (place / name).exists())
            door.connect(str(place / name))
        self.serial, self.answers = doors["serial"], doors["monitor"].makefile("rw")
        self.answers.readline()
        self("qmp_capabilities")

    def __call__(self, command: str, **arguments: Any) -> Any:
        words = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.answers.write(json.dumps({"execute": command, "arguments": words}) + "\n")
        self.answers.flush()
        while True:
            said = json.loads(self.answers.readline())
            if "error" in said:
                raise RuntimeError(f"{command}: {said['error']}")
            if "return" in said:
                return said["return"]

    def letter_in_memory(self) -> str:
        found = self("human-monitor-command", command_line=f"xp /1xb {FUNCTION + 1}")
        return chr(int(found.split()[-1], 16))

    def written(self) -> str:
        return self.console.read_text(encoding="ascii")

    def writes_now(self) -> str:
        """The letter that it writes once it has written two others."""
        before = len(self.written())
        until(lambda: len(self.written()) > before + 2)
        return self.written()[-1]


def until(test: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not test():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def into_lockstep(primary: Machine, standby: Machine, meeting: str) -> None:
    known = {each["capability"] for each in primary("query-migrate-capabilities")}
    version = primary("query-version")["qemu"]["major"]
    wanted = {"x-colo", "return-path"} & known if version >= 11 else {"x-colo"}
    capabilities = [{"capability": name, "state": True} for name in sorted(wanted)]
    for machine in (standby, primary):
        machine("migrate-set-capabilities", capabilities=capabilities)
    primary("migrate-set-parameters", x_checkpoint_delay=500)
    standby("migrate-incoming", uri=meeting)
    primary("migrate", uri=meeting)
    until(lambda: primary("query-migrate").get("status") == "colo")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        place, found = Path(directory), []
        primary = Machine(place / "primary", sys.argv[1])
        standby = Machine(place / "standby", sys.argv[1], "-incoming", "defer")
        try:
            into_lockstep(primary, standby, f"unix:{place}/meeting")
            for letter in map(chr, SENT):
                primary.serial.sendall(letter.encode())
                until(lambda letter=letter: standby.letter_in_memory() == letter)
                found.append([letter, standby.letter_in_memory(), standby.writes_now()])
        finally:
            for machine in (primary, standby):
                machine.process.kill()
                machine.process.wait()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
