# SPDX-License-Identifier: GPL-3.0-or-later
"""On a test host, in a Python that ``interpose.py`` has made: one step of the modules that it runs goes wrong.

The file LOCKSTEP_STEPS has the number of steps that are carried out before. What befalls the one after them is
LOCKSTEP_HOW: ``killed`` as kill -9 would before it, ``refused`` by QEMU, libvirt or the host, or ``unanswered``: it was
carried out, and its answer never came. The steps after it are carried out, those of a rescue as well.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

STEPS = "module_utils.apply.steps"


def next_step() -> int:
    """How many steps are still to be carried out before the one that goes wrong; below 0 after it."""
    with Path(os.environ["LOCKSTEP_STEPS"]).open("r+", encoding="ascii") as file:
        left = int(file.read())
        file.seek(0)
        file.truncate()
        file.write(str(left - 1))
    return left


def refusal(errors: Any, step: Any) -> Exception:
    """As the door of the host raises it that this step goes through."""
    if step.action == "qmp":
        return errors.QmpError(step.arguments["command"], "GenericError", "refused for a test")
    if step.action in ("wait", "hand_over", "receive_handover", "see_answer"):
        return errors.Timeout("not in time, for a test")
    if step.action in ("mark", "make_directory", "remove", "remove_home"):
        return OSError(5, "Input/output error, for a test")
    if step.action in ("link", "bar", "unbar", "release", "create_image", "check_image"):
        return errors.CommandFailed(f"the command of {step.action} failed, for a test")
    return errors.LibvirtError(step.action, -1, "refused for a test")


def interpose(module: Any) -> None:
    """Stand between the plan and the doors of the host."""
    errors = sys.modules[module.ColoError.__module__]
    carry_out = module.Apply._carry_out

    def or_not(self: Any, step: Any) -> None:
        how = os.environ["LOCKSTEP_HOW"] if next_step() == 0 else None
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "refused":
            raise refusal(errors, step)
        carry_out(self, step)
        if how == "unanswered":
            raise errors.Timeout("no answer within 10 s, for a test")

    module.Apply._carry_out = or_not


class Finder:
    """Finds the one module as Python would, and has it changed once it is loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if not name.endswith(STEPS):
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            if module.__name__ == name:  # of a zip file one loader loads a whole package
                interpose(module)

        spec.loader.exec_module = exec_module
        return spec


if "LOCKSTEP_STEPS" in os.environ:
    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]
