# SPDX-License-Identifier: GPL-3.0-or-later
"""On a test host, in a Python that ``interpose.py`` has made: one step of the modules that it runs goes wrong.

The file LOCKSTEP_STEPS has the number of steps that are carried out before. What befalls the one after them is
LOCKSTEP_HOW: ``killed`` as kill -9 would before it, ``refused`` by QEMU, libvirt or the host, or ``unanswered``: it was
carried out, and its answer never came. The steps after it are carried out, those of a rescue as well.

``blind``: the steps go well, and a look that follows some of them fails as a file of the host would; counted are the
looks of this kind. LOCKSTEP_VHOST: guests whose NICs may use vhost are seen to use it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import sys
from pathlib import Path
from typing import Any

unseen: list[Any] = []  # steps of this process behind which nothing was looked at yet


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
    if step.action in ("mark", "make_directory", "remove", "remove_home", "forget_save", "forget_compared"):
        return OSError(5, "Input/output error, for a test")
    if step.action in (
        "link", "bar", "unbar", "release", "create_image", "check_image", "begin_sieve", "begin_sums", "end_sieve",
    ):  # fmt: skip
        return errors.CommandFailed(f"the command of {step.action} failed, for a test")
    return errors.LibvirtError(step.action, -1, "refused for a test")


def between_plan_and_doors(module: Any) -> None:
    errors = sys.modules[module.ColoError.__module__]
    carry_out = module.Apply._carry_out

    def or_not(self: Any, step: Any) -> None:
        if os.environ["LOCKSTEP_HOW"] == "blind":
            unseen.append(step)
            carry_out(self, step)
            return
        how = os.environ["LOCKSTEP_HOW"] if next_step() == 0 else None
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "refused":
            raise refusal(errors, step)
        carry_out(self, step)
        if how == "unanswered":
            raise errors.Timeout("no answer within 10 s, for a test")

    module.Apply._carry_out = or_not


def between_host_and_plan(module: Any) -> None:
    observe, domain = module.observe, module._domain

    def or_not(*words: Any, **options: Any) -> Any:
        seen = observe(*words, **options)
        if unseen:
            unseen.clear()
            if next_step() == 0:
                raise OSError(5, "Input/output error, for a test")
        return seen

    def on_vhost(found: Any) -> Any:
        told = domain(found)
        may = told.live_xml is not None and "no-vhost" not in told.live_xml
        return dataclasses.replace(told, vhost=True) if may else told

    module.observe = or_not
    if "LOCKSTEP_VHOST" in os.environ:
        module._domain = on_vhost


CHANGES = {"module_utils.apply.steps": between_plan_and_doors, "module_utils.observe.look": between_host_and_plan}


class Finder:
    """Finds these modules as Python would, and has them changed once they are loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        change = next((change for end, change in CHANGES.items() if name.endswith(end)), None)
        if change is None:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            if module.__name__ == name:  # of a zip file one loader loads a whole package
                change(module)

        spec.loader.exec_module = exec_module
        return spec


if "LOCKSTEP_STEPS" in os.environ:
    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]
