# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role host reads of a host in one go is YAML, whatever is there; here a host in a directory."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from ansible_collections.lockstep.colo.plugins.filter.colo_told import colo_told

ROLE = Path(__file__).resolve().parents[2] / "roles" / "host"
LOOK = ROLE / "files" / "look.sh"
UNITS = {
    "etc/lockstep-colo/firewall.nft": "table\n",
    "etc/systemd/system/lockstep-colo-firewall.service": "[Unit]\n",
    "etc/systemd/system/nftables.service.d/lockstep-colo.conf": "[Service]\n",
}
DIGEST = hashlib.sha256("".join(UNITS.values()).encode()).hexdigest()
ARCHIVE = "usr/local/lib/lockstep-colo/lockstep-colo.pyz"
HOOK = "etc/libvirt/hooks/qemu.d/lockstep-colo"
RULES = "etc/apparmor.d/local/abstractions/libvirt-qemu"
BLOCK = '# BEGIN lockstep.colo\n"/images" r,\n# END lockstep.colo\n'
ENDS = (
    '<colo:local host="kvm1" machine-id="5284" address="10.77.0.1"/>'
    '<colo:peer host="kvm2" machine-id="3eb5" address="10.77.0.2"/>'
)
RECORD = f'<colo:pair xmlns:colo="urn:lockstep:colo:1" role="primary">\n{ENDS}</colo:pair>'
# What a peer that was taken over may have in the metadata of the guest whose standby is here.
FOREIGN = [
    '<x:x xmlns:x="urn:x"><colo:peer xmlns:colo="urn:evil" address="10.77.0.66"/></x:x>',
    f'<x:x xmlns:x="urn:x">{RECORD.replace("10.77.0", "10.77.67")}</x:x>',
    '<colo:peer xmlns:colo="urn:lockstep:colo:1" address="10.77.0.68"/>',
    '<!-- <colo:peer address="10.77.0.69"/> -->',
    "<x>&lt;colo:peer address='10.77.0.70'/></x>",
]


def domain(*metadata: str) -> str:
    return f"<domain>\n<metadata>\n{chr(10).join(metadata)}\n</metadata>\n</domain>\n"


def script(root: Path) -> str:
    text = LOOK.read_text(encoding="utf-8").replace(
        ". /etc/os-release", "NAME=Debian ID=debian VERSION_CODENAME=trixie"
    )
    for place in ("/etc/", "/sys/", "/usr/lib", "/run/", "/proc/"):
        text = text.replace(f" {place}", f" {root}{place}").replace(f"={place}", f"={root}{place}")
    return text


def look(root: Path, *inside: str, **programs: str) -> dict[str, Any]:
    """What it says of the host in ``root``, run by ``inside``, where programs answer with these shell commands."""
    bin_ = root / "bin"
    bin_.mkdir(parents=True, exist_ok=True)
    for name, answer in programs.items():
        path = bin_ / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{answer}\n", encoding="utf-8")
        path.chmod(0o755)
    tools = [bin_, *(Path(one) for one in ("/usr/sbin", "/usr/bin", "/bin"))]
    done = subprocess.run(
        [
            *inside,
            "sh",
            "-c",
            script(root),
            "look",
            str(root / "images"),
            "libvirtd",
            str(root / ARCHIVE),
            "/no",
            "--",
            "qemu-utils",
        ],
        env={"PATH": os.pathsep.join(map(str, tools))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    told = colo_told(done.stdout)
    assert told == {name: value or type(told[name])() for name, value in yaml.safe_load(done.stdout).items()}
    return told


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for name, text in UNITS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "etc/libvirt/qemu").mkdir(parents=True)
    (tmp_path / "etc/lockstep-colo/automation").mkdir()
    for name in ("web1", "web2"):
        also = json.dumps({"also": ["10.78.0.2", "fd01::2"]}, indent=4 if name == "web1" else None)
        (tmp_path / f"etc/lockstep-colo/automation/{name}.json").write_text(also, encoding="utf-8")
        (tmp_path / f"etc/libvirt/qemu/{name}.xml").write_text(domain(RECORD), encoding="utf-8")
    return tmp_path


# Of an nft that has one table, and of none that looks into a network of its own.
TABLE = {"nft": 'case "$*" in *list*) echo table ;; esac', "unshare": 'shift; exec "$@"'}
UP = "case $1 in is-enabled) echo enabled ;; is-active) [ $# = 2 ] && echo active || exit 3 ;; esac"


def test_a_host_with_its_rules_loaded(host: Path) -> None:
    seen = look(host, systemctl=UP, dpkg_query="exit 0", **TABLE)
    assert seen["table"] == f"{DIGEST} enabled active loaded"
    assert seen["nftables"] is True
    assert seen["firewalls"] == []
    assert seen["peers"] == ["10.77.0.2"]
    assert (seen["second_addresses"], seen["own_firewall"]) == (["10.78.0.2", "fd01::2"], True)
    assert (seen["pki"], seen["authority"]) == ({}, "")


def test_the_ends_are_those_of_records_alone(host: Path) -> None:
    """A stranger who stood there would be let through to the ports of all pairs."""
    for at, text in enumerate([domain(*FOREIGN, RECORD), domain(*FOREIGN), "no XML", *map(domain, FOREIGN)]):
        (host / f"etc/libvirt/qemu/of-a-peer-{at}.xml").write_text(text, encoding="utf-8")
    seen = look(host, systemctl=UP, nft="exit 0", dpkg_query="exit 0")
    assert (seen["local"], seen["peers"]) == (["10.77.0.1"], ["10.77.0.2"])


@pytest.mark.parametrize("length", [12, 5000])
def test_of_the_authority_that_a_host_knows_its_certificate_is_read(host: Path, length: int) -> None:
    bodies = "TUlJ+/A=\n" * length, "QkJC\n"
    text = "".join(f"-----BEGIN CERTIFICATE-----\n{one}-----END CERTIFICATE-----\n" for one in bodies)
    pki = host / "etc/lockstep-colo/pki"
    pki.mkdir()
    (pki / "ca-cert.pem").write_text(f"# it's ours\n{text}", encoding="ascii")
    seen = look(host, systemctl=UP, nft="exit 0", dpkg_query="exit 0")
    assert seen["authority"] == ("TUlJ+/A=" * length)[:4096]
    assert list(seen["pki"]) == ["ca-cert.pem"]


def test_rules_that_are_changed_or_not_loaded_are_seen(host: Path) -> None:
    assert look(host, systemctl=UP, nft="exit 1", dpkg_query="exit 0")["table"] == f"{DIGEST} enabled active "
    (host / "etc/lockstep-colo/firewall.nft").write_text("other\n", encoding="utf-8")
    assert DIGEST not in look(host, systemctl=UP, dpkg_query="exit 0", **TABLE)["table"]


def rules(*peers: str, automation: str = "none", local: tuple[str, ...] = ("10.77.0.1",)) -> str:
    """The file of rules as the role writes it."""
    made = jinja2.Environment(trim_blocks=True)
    made.tests["search"] = lambda text, form: re.search(form, text) is not None
    return made.from_string(ROLE.joinpath("templates/firewall.nft.j2").read_text(encoding="utf-8")).render(
        ansible_managed="managed",
        colo_automation=automation,
        colo_firewall_ports="21600-23199",
        colo_host_addresses=["10.77.0.1", "10.78.0.1", "fd00::1"],
        colo_host_peers=peers,
        colo_host_replication=["10.77.0.1", *local],
        colo_host_watchers=[*peers, "10.78.0.9", "fd00::9"],
        colo_watch_port=21599,
    )


def a_network_of_its_own() -> bool:
    """Whether this is a machine on which somebody who may can load rules where they touch nobody."""
    try:
        return (
            subprocess.run(["unshare", "--net", "nft", "list", "ruleset"], capture_output=True, check=False).returncode
            == 0
        )
    except OSError:
        return False


@pytest.mark.skipif(not a_network_of_its_own(), reason="needs nft, and root")
@pytest.mark.parametrize(
    ("kernel", "since", "loaded"),
    [
        (rules("10.77.0.2"), "", True),
        (rules("10.77.0.3"), "", False),
        (rules("10.77.0.2", "10.77.0.3"), "", False),
        (rules("10.77.0.2", automation="word"), "", False),
        (rules("10.77.0.2"), "flush table inet lockstep_colo", False),
        (rules("10.77.0.2"), "delete table inet lockstep_colo", False),
        (rules("10.77.0.2"), "insert rule inet lockstep_colo input accept", False),
        (rules("10.77.0.2"), "add table inet own", True),
        ("", "", False),
    ],
    ids=[
        "right",
        "other peer",
        "one peer more",
        "the watchers too",
        "flushed",
        "removed",
        "a rule more",
        "a table beside",
        "never loaded",
    ],
)
def test_what_the_kernel_has_is_held_against_the_file(host: Path, kernel: str, since: str, loaded: bool) -> None:
    (host / "etc/lockstep-colo/firewall.nft").write_text(rules("10.77.0.2"), encoding="utf-8")
    before = host / "before.nft"
    before.write_text(f"{kernel}\n{since}\n", encoding="utf-8")
    inside = ("unshare", "--net", "sh", "-c", f'nft --file {before} && exec "$@"', "-")
    assert look(host, *inside, systemctl=UP, dpkg_query="exit 0")["table"].endswith(" loaded") is loaded


def test_who_is_admitted_to_the_watcher_and_who_to_the_replication_ports() -> None:
    said = [
        line.strip() for line in rules("10.77.0.9", "10.77.0.2", automation="word").splitlines() if " dport " in line
    ]
    assert said == [
        "ip daddr { 10.77.0.1 } tcp dport 21600-23199 ip saddr { 10.77.0.2, 10.77.0.9 } accept",
        "ip daddr { 10.77.0.1 } tcp dport 21600-23199 drop",
        "ip6 daddr { fd00::1 } tcp dport 21599 ip6 saddr { fd00::9 } accept",
        "ip6 daddr { fd00::1 } tcp dport 21599 drop",
        "ip daddr { 10.77.0.1, 10.78.0.1 } tcp dport 21599 ip saddr { 10.77.0.2, 10.77.0.9, 10.78.0.9 } accept",
        "ip daddr { 10.77.0.1, 10.78.0.1 } tcp dport 21599 drop",
    ]
    assert "21599" not in rules("10.77.0.2")


def test_the_addresses_of_pairs_that_run_are_kept_where_colo_address_has_changed() -> None:
    said = [line.strip() for line in rules("10.77.0.2", "fd00::2", local=("10.76.0.1", "fd00::1")).splitlines()]
    for line in (
        "ip daddr { 10.76.0.1, 10.77.0.1 } tcp dport 21600-23199 ip saddr { 10.77.0.2 } accept",
        "ip daddr { 10.76.0.1, 10.77.0.1 } tcp dport 21600-23199 drop",
        "ip6 daddr { fd00::1 } tcp dport 21600-23199 ip6 saddr { fd00::2 } accept",
        "ip6 daddr { fd00::1 } tcp dport 21600-23199 drop",
    ):
        assert line in said


def test_other_firewalls_are_named_where_they_are_on(host: Path) -> None:
    ufw = host / "etc/ufw"
    ufw.mkdir()
    (ufw / "ufw.conf").write_text("ENABLED=no\n", encoding="utf-8")
    on = {"nft": "exit 0", "dpkg_query": "exit 0"}
    assert look(host, systemctl="exit 0", **on)["firewalls"] == ["firewalld"]
    (ufw / "ufw.conf").write_text("# x\nENABLED=yes\n", encoding="utf-8")
    assert look(host, systemctl="exit 3", **on)["firewalls"] == ["ufw"]


def kept(path: Path, mode: int, text: str | None = None) -> str:
    """Make it, a directory where there is no text, and say how it is told."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        path.mkdir(exist_ok=True)
    else:
        path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    digest = [] if text is None else [hashlib.sha256(text.encode()).hexdigest()]
    return " ".join([path.owner(), path.group(), f"{mode:o}", *digest])


def test_what_the_role_keeps_is_told_by_owner_mode_and_digest(host: Path) -> None:
    up = {"systemctl": UP, "nft": "exit 0", "dpkg_query": "exit 0"}
    wanted = {
        "directory": kept(host / "images", 0o751),
        "hook": kept(host / HOOK, 0o755, "#!/usr/bin/python3\n"),
        "hooks": kept((host / HOOK).parent, 0o755),
        "service": "enabled active",
        "socket": "enabled active",
    }
    rules = kept(host / RULES, 0o644, f"# somebody's\n{BLOCK}# more\n").rpartition(" ")[0]
    archive = kept(host / ARCHIVE, 0o644, "core")
    seen = look(host, **up)
    assert {key: seen[key] for key in wanted} == wanted
    assert seen["rules"] == f"{rules} {hashlib.sha256(BLOCK.encode()).hexdigest()}"
    assert (len(seen["watch"]), seen["watch"][4], seen["watch"][-1]) == (8, archive, "enabled active")


def test_what_is_not_as_it_was_made_is_told_otherwise(host: Path) -> None:
    up = {"systemctl": UP, "nft": "exit 0", "dpkg_query": "exit 0"}
    before = kept(host / HOOK, 0o755, "#!/usr/bin/python3\n")
    (host / HOOK).write_text("exit 0\n", encoding="utf-8")
    assert look(host, **up)["hook"] != before
    (host / HOOK).unlink()
    (host / HOOK).symlink_to("/bin/true")
    assert look(host, **up)["hook"] == ""
    kept(host / "images", 0o700)
    assert look(host, **up)["directory"].endswith(" 700")
    kept(host / RULES, 0o644, BLOCK + BLOCK)
    assert look(host, **up)["rules"].split()[-1] != hashlib.sha256(BLOCK.encode()).hexdigest()


@pytest.mark.parametrize(("since", "late"), [("2001-01-01", True), ("2099-01-01", False), (None, False)])
def test_what_a_service_has_not_read_since_a_run_was_cut_off_is_told(host: Path, since: str | None, late: bool) -> None:
    """None: it does not run, and reads all when it starts."""
    kept(host / HOOK, 0o755, "#!/usr/bin/python3\n")
    kept(host / ARCHIVE, 0o644, "core")
    runs = "exit 3" if since is None else "[ $# = 2 ] && echo active; exit 0"
    began = f"echo 'Mon {since} 00:00:00.000001 UTC'"
    systemctl = f"case $1 in is-active) {runs} ;; show) {began} ;; esac"
    seen = look(host, systemctl=systemctl, nft="exit 0", dpkg_query="exit 0")
    assert (seen["hook_unread"], seen["watch"][-1].endswith(" outdated")) == (late, late)


@pytest.mark.parametrize(
    ("booted", "noted", "unread"),
    [(-60, None, True), (60, None, False), (-60, 60, False), (-60, -60, True), (60, -60, False)],
    ids=["written in this boot", "before it", "and read", "and again since", "before it, of an odd clock"],
)
def test_whether_guests_that_run_have_read_the_rules_is_told(
    host: Path, booted: int, noted: int | None, unread: bool
) -> None:
    """Seconds after the rules were written; None: no handler has run since the host was started."""
    up = {"systemctl": UP, "nft": "exit 0", "dpkg_query": "exit 0"}
    kept(host / RULES, 0o644, BLOCK)
    written = int((host / RULES).stat().st_ctime)
    (host / "proc").mkdir()
    (host / "proc/stat").write_text(f"cpu  1 2 3\nbtime {written + booted}\nprocesses 7\n", encoding="utf-8")
    if noted is not None:
        note = host / "run/lockstep-colo/apparmor-rules"
        kept(note, 0o644, "")
        os.utime(note, (written + noted, written + noted))
    assert look(host, **up)["rules_unread"] is False, "no AppArmor, nothing to read"
    kept(host / "sys/kernel/security/apparmor", 0o755)
    assert look(host, **up)["rules_unread"] is unread


def test_a_bare_host_says_so(tmp_path: Path) -> None:
    seen = look(tmp_path, systemctl="exit 3", nft="exit 1", dpkg_query="exit 1")
    assert {seen[key].strip() for key in ("directory", "hook", "hooks", "rules", "service", "socket")} == {""}
    assert (seen["local"], seen["peers"], seen["pki"], seen["firewalls"], seen["watcher"]) == ([], [], {}, [], False)
    assert "loaded" not in seen["table"]
    assert seen["own_firewall"] is False
