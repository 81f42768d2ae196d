# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The life of a host's watcher: a keeper for each paired domain, and the lines to the watchers of their peers.

It may end at any moment: nothing of a pair depends on it, and what it had begun it finds again by looking.
"""

from __future__ import annotations

import dataclasses
import secrets
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..host import automation, files, hotline, processes, scrape
from ..host.hypervisor import Hypervisor
from ..host.until_reboot import write_whole
from ..observation.automation import Settings
from ..observation.word import Half, Speech, speech
from ..observe.certificates import certificate
from ..record import xml as record_xml
from ..verdict import word
from . import metrics, result
from .keeper import Keeper

BEAT = 1.0  # seconds between two speeches, if nothing happens
RESCAN = 2.0  # seconds between two looks for pairs that are new or gone
RECONNECT = 1.0  # seconds
TURN = 0.001  # seconds for which a thread of this process keeps the others waiting
METRICS = "lockstep_colo.prom"
CERTIFICATE = 60.0  # seconds between two looks at this host's certificate
CLOSELY = 60.0  # seconds between two close looks at the pairs, which cost more than all else that the watcher does
AGAIN = 5.0  # seconds, once one of them is degraded


class Vigil:
    """The watcher of this host. ``say`` takes lines for its log."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings, self._say = settings, say
        self._machine, self._boot = files.machine_id(), processes.boot_id()
        self._keepers: dict[str, Keeper] = {}
        self._speakers: dict[str, Speaker] = {}
        self._last: dict[tuple[frozenset[str], str], word.Last] = {}
        self._order = threading.Lock()
        self._scout = Hypervisor(settings.uri)
        self._complaints: dict[str, str] = {}
        self._certificate_ends: float | None = None
        self._certificate_due = 0.0

    def run(self) -> NoReturn:
        """Keep every pair of this host in view."""
        sys.setswitchinterval(TURN)
        for address in self._settings.addresses or ("",):
            threading.Thread(target=self._answer, args=(address,), daemon=True).start()
        if self._settings.listen:
            threading.Thread(target=self._serve_metrics, daemon=True).start()
        if self._settings.metrics or self._settings.listen:
            threading.Thread(target=self._look_closely, daemon=True).start()
        due = 0.0
        while True:
            try:
                if time.monotonic() >= due:
                    due = time.monotonic() + RESCAN
                    self._scan()
                    self._tell_metrics()
                for event in self._scout.events(None, RESCAN):
                    for keeper in list(self._keepers.values()):
                        if keeper.domain == event.domain:
                            keeper.event(event.name, event.data)
            except result.FAILURES as error:  # libvirt was restarted, most likely
                self.complain("libvirt", str(error))
                self._scout.close()
                time.sleep(RECONNECT)

    def _scan(self) -> None:
        self._scout.watch(None)
        found = self._scout.paired()
        for uuid in self._keepers.keys() - found.keys():
            self._keepers.pop(uuid).stop()
        for uuid, (name, text) in found.items():
            keeper = self._keepers.get(uuid)
            if keeper is None or not keeper.is_alive() or keeper.domain != name:
                if keeper:
                    keeper.stop()
                self._keepers[uuid] = keeper = Keeper(uuid, name, self._settings, self._speak, self._say)
                keeper.start()
            peer = record_xml.from_xml(text).peer
            for address in [peer.address, *(automation.wanted(uuid) or {}).get("also", [])]:
                if address not in self._speakers:
                    self._speakers[address] = Speaker(address, self)
                self._speakers[address].names = frozenset({peer.host, peer.address})
        self._complaints.pop("libvirt", None)

    def metrics(self) -> str:
        """What this host's watcher measures, as of now."""
        return metrics.text(list(self._keepers.values()), time.monotonic(), time.time(), self._certificate_ends)

    def _tell_metrics(self) -> None:
        if not (self._settings.metrics or self._settings.listen):
            return
        if time.monotonic() >= self._certificate_due:
            self._certificate_due = time.monotonic() + CERTIFICATE
            self._certificate_ends = certificate(self._settings.pki).ends or None
        if self._settings.metrics:
            write_whole(Path(self._settings.metrics, METRICS), self.metrics())

    def _serve_metrics(self) -> None:
        at = self._settings.listen
        self.for_ever("metrics", f"cannot tell metrics at {at}", lambda: scrape.serve(at, self.metrics))

    def _look_closely(self) -> None:
        with Hypervisor(self._settings.uri) as hypervisor:
            self.for_ever("closely", "cannot look closely at the pairs", lambda: self._look_once(hypervisor))

    def _look_once(self, hypervisor: Hypervisor) -> None:
        keepers = list(self._keepers.values())
        for keeper in keepers:
            keeper.look_closely(hypervisor)
        time.sleep(AGAIN if any(keeper.degraded for keeper in keepers) else CLOSELY)

    # Speaking

    def _speak(self) -> None:
        for speaker in list(self._speakers.values()):
            speaker.news.set()

    def halves(self) -> list[Half]:
        """What this host knows of its halves now; none of a pair that was not looked at yet."""
        return [half for keeper in list(self._keepers.values()) if (half := keeper.now()) is not None]

    def speech(self, nonce: str) -> dict[str, object]:
        """What this host says now, as JSON has it."""
        said = Speech(self._machine, self._boot, time.monotonic_ns(), nonce, tuple(self.halves()))
        return dataclasses.asdict(said)

    # Listening

    def _answer(self, address: str) -> None:
        port, pki = self._settings.port, self._settings.pki
        self.for_ever(
            f"port {address}",
            f"cannot listen on {address or 'all addresses'} port {port}",
            lambda: hotline.listen(address, port, pki, self._converse, self._stranger),
        )

    def _stranger(self, words: str) -> None:
        self.complain(words.partition(":")[0], f"refused or lost a connection from {words}")

    def _converse(self, line: hotline.Line) -> None:
        """Hear one speech after the other, until one is not to be believed or the other host hangs up."""
        ear = word.Ear(line.names, secrets.token_hex(16), time.monotonic())
        while True:
            line.say({"nonce": ear.nonce})
            said = speech(line.hear())
            if refused := word.disbelieved(ear, said):
                raise ValueError(refused)
            self._hear(ear.names, said, ear.asked)
            ear = word.once_heard(ear, said, secrets.token_hex(16), time.monotonic())

    def _hear(self, names: frozenset[str], said: Speech, asked: float) -> None:
        speaker = names, said.machine_id
        with self._order:
            keepers = list(self._keepers.values())
            heard = [one for one in keepers if one.record and word.is_peer(one.record, names, said)]
            # A host may make up machines without end: of one that is nobody's peer nothing is remembered.
            if not heard or word.is_old(self._last.get(speaker, word.Last()), said):
                return
            self._last[speaker] = word.Last(said.boot_id, said.number)
            for keeper in heard:
                keeper.hear(names, said, asked)

    def for_ever(self, about: str, words: str, work: Callable[[], None]) -> NoReturn:
        """Begin it again whenever it ends. Whatever it ends with is a complaint: nobody begins a thread again."""
        while True:
            try:
                work()
            except Exception as error:
                self.complain(about, f"{words}: {str(error) or type(error).__name__}")
            time.sleep(RECONNECT)

    def complain(self, about: str, words: str) -> None:
        """Say it once, until there is something else to say ``about`` this."""
        if self._complaints.get(about) != words:
            self._complaints[about] = words
            self._say(words)

    @property
    def settings(self) -> Settings:
        """What the role host has written for it."""
        return self._settings


class Speaker:
    """Speaks to the watcher at one address of a peer."""

    def __init__(self, address: str, vigil: Vigil) -> None:
        self.address, self.names, self.news = address, frozenset[str](), threading.Event()
        self._vigil = vigil
        threading.Thread(target=self._run, name=f"speaker {address}", daemon=True).start()

    def _run(self) -> None:
        self._vigil.for_ever(self.address, f"cannot speak to the watcher at {self.address}", self._call)

    def _call(self) -> None:
        settings = self._vigil.settings
        line = hotline.call(self.address, settings.port, settings.pki)
        try:
            self._speak(line)
        finally:
            line.close()

    def _speak(self, line: hotline.Line) -> None:
        if not self.names & line.names:
            raise ValueError(f"its certificate is of {', '.join(sorted(line.names))}")
        while True:
            nonce = str(line.hear()["nonce"])
            self.news.wait(BEAT)
            self.news.clear()
            line.say(self._vigil.speech(nonce))


def keep_watch(say: Callable[[str], None]) -> NoReturn:
    """Be the watcher of this host, as the role host has set it; ColoError where its file cannot be read."""
    Vigil(automation.settings(), say).run()
