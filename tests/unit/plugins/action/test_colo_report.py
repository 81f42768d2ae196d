# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible_collections.lockstep.colo.plugins.action import colo_report
from ansible_collections.lockstep.colo.plugins.modules import colo_report as documented
from ansible_collections.lockstep.colo.tests.unit.plugins.plugin_utils.report import cases


def run(check: bool = False, variables: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    task = SimpleNamespace(args=options, check_mode=check, async_val=0, environment=None, diff=False)
    templar = MagicMock(template=lambda value: value)
    action = colo_report.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), templar, MagicMock())
    return action.run(task_vars={"inventory_hostname": "web7", **(variables or {})})


FAILOVER = {key: value for key, value in cases.FAILOVER.items() if key != "pair"}


def test_both_files_are_written_and_named(tmp_path: Path) -> None:
    found = run(path=str(tmp_path / "new" / "report"), **FAILOVER)
    assert found["changed"] is True
    assert (found["html"], found["json"]) == (f"{tmp_path}/new/report.html", f"{tmp_path}/new/report.json")
    report = json.loads(Path(found["json"]).read_text(encoding="utf-8"))
    assert report["summary"] == found["summary"]
    assert report["pair"] == "web7"
    assert Path(found["html"]).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert found["msg"].startswith("web7 serves from kvm2, unprotected, since")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["report.html", "report.json"]
    assert (tmp_path / "new" / "report.html").stat().st_mode & 0o777 == 0o600


def test_what_is_next_is_said_with_the_inventory_of_the_run_unless_another_is_given(tmp_path: Path) -> None:
    def command(**options: Any) -> str:
        found = run(variables={"ansible_inventory_sources": ("hosts.yml",)}, path=str(tmp_path / "x"), **options)
        return json.loads(Path(found["json"]).read_text(encoding="utf-8"))["after"]["verdict"]["command"]

    assert command(**FAILOVER) == "ansible-playbook -i hosts.yml lockstep.colo.deploy --limit kvm,web7"
    assert command(**FAILOVER, inventory=["other.yml"]).startswith("ansible-playbook -i other.yml ")


def test_check_mode_writes_nothing_and_says_so(tmp_path: Path) -> None:
    found = run(check=True, path=str(tmp_path / "new" / "report"), **FAILOVER)
    assert found["msg"] == f"would write {tmp_path}/new/report.html and {tmp_path}/new/report.json"
    assert found["changed"] is True
    assert not {"html", "json"} & set(found), "a file is named that is not there"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["", "/", "/new/"])
def test_a_directory_gets_a_name_of_its_own(tmp_path: Path, ending: str) -> None:
    found = run(path=f"{tmp_path}{ending}", runbook="../../etc/deploy now", pair="../web 1")
    html = Path(found["html"])
    assert html.parent == Path(f"{tmp_path}{ending}")
    assert html.name.startswith("web_1-.._.._etc_deploy_now-20")
    assert html.is_file()


@pytest.mark.parametrize("name", ["x", "x.html", "x.json"])
def test_an_ending_is_not_doubled(tmp_path: Path, name: str) -> None:
    assert run(path=str(tmp_path / name), runbook="deploy")["html"] == f"{tmp_path}/x.html"
    assert run(path=str(tmp_path / "web1.example"), runbook="deploy")["json"] == f"{tmp_path}/web1.example.json"


def test_a_report_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    path.write_text("old", encoding="utf-8")
    before = path.stat().st_ino
    run(path=str(path), runbook="deploy")
    assert path.stat().st_ino != before


def test_a_probe_may_be_a_file_a_dictionary_or_its_text(tmp_path: Path) -> None:
    path = tmp_path / "probe.json"
    path.write_text(json.dumps(cases.PROBE), encoding="utf-8")
    for probe in (str(path), cases.PROBE, json.dumps(cases.PROBE)):
        found = run(path=str(tmp_path / "x"), runbook="deploy", probe=probe)
        assert "no acknowledged write was lost (5556 checked)" in found["summary"]["sentence"]
    for nothing in ("", None, {}):
        assert "write" not in run(path=str(tmp_path / "x"), runbook="deploy", probe=nothing)["summary"]["sentence"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"probe": "/nowhere/probe.json"}, "probe: .*No such file.*Give the probe's report"),
        ({"probe": "{"}, "probe: .*Give the probe's report"),
        ({"before": {"a": None, "b": None, "c": None}}, "name a, b and c: a pair has two hosts"),
        ({"tasks": [{"titel": "x"}]}, "titel"),
        ({"afterwards": {}}, "Unsupported parameters"),
        ({"path": "/proc/nowhere/x"}, "the report cannot be written: .*Give a path that can be written"),
    ],
)
def test_what_is_wrong_is_said_in_words(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleActionFail, match=words):
        run(**{"path": str(tmp_path / "x"), "runbook": "deploy", **options})
    assert list(tmp_path.iterdir()) == []


def test_a_json_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "probe.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(AnsibleActionFail, match="not the report of a probe"):
        run(path=str(tmp_path / "x"), runbook="deploy", probe=str(path))


def options(spec: dict[str, Any], inner: str) -> dict[str, Any]:
    """Name, type and inner options of a spec, or of what the documentation says of it."""
    return {
        name: {
            **{key: option[key] for key in ("type", "elements", "required") if key in option},
            **({"options": options(option[inner], inner)} if inner in option else {}),
        }
        for name, option in spec.items()
    }


def test_the_documentation_says_what_the_plugin_takes() -> None:
    said = yaml.safe_load(documented.DOCUMENTATION)
    assert options(said["options"], "suboptions") == options(colo_report.SPEC, "options")
    yaml.safe_load(documented.EXAMPLES)
    returned = yaml.safe_load(documented.RETURN)
    assert set(returned) == {"html", "json", "summary", "msg"}
    assert set(returned["summary"]["contains"]) == {"sentence", "tone", "phase", "holder", "since"}


def test_what_no_report_can_be_made_of_is_a_result_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflows(_report: object) -> str:
        raise OverflowError("date value\nout of range")

    monkeypatch.setattr(colo_report.page, "render", overflows)
    with pytest.raises(AnsibleActionFail, match=r"no report can be made .*: OverflowError: date value out of range"):
        run(path=str(tmp_path / "report"), **FAILOVER)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_where_a_host_has_chosen_a_variable(tmp_path: Path) -> None:
    planted = {"colo_report_directory": str(tmp_path)}
    found = run(variables={"hostvars": {"web7": {"ansible_facts": planted}}}, path=f"{tmp_path}/", runbook="deploy")
    assert found["failed"] is True
    assert "web7 has facts that are variables" in found["msg"]
    assert list(tmp_path.iterdir()) == []


def test_a_fact_is_no_result_of_a_module(tmp_path: Path) -> None:
    result = {"title": "Start the domain", "host": "kvm1", "steps": ["start it"], "done": [], "changed": True}
    variables = {"ended": result, "ansible_told": result, "told": result, "ansible_facts": {"told": result}}
    found = run(variables=variables, path=f"{tmp_path}/", runbook="deploy")
    report = json.loads(Path(found["json"]).read_text(encoding="utf-8"))
    assert len(report["tasks"]) == 1
