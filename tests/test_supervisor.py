"""A supervisor over workers that are small scripts: the page, the judgement, real processes and real signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from proxy.decide.engine import Pulse as EnginePulse
from proxy.errors import ConfigurationError
from proxy.model import PolicyDigest
from proxy.pulse import Ended, Pulse, Reading
from proxy.supervisor import POLL_S, RESTARTS, START_S, Vigil

ONE, OTHER = PolicyDigest("1f" * 32), PolicyDigest("e0" * 32)
HEARTBEAT_S = 0.6
WORKER = """
import asyncio, os, signal, sys, time
from pathlib import Path
from proxy.pulse import Pulse
from proxy.supervisor import bind
pulse = Pulse.joined(int(sys.argv[-1]))
bind(pulse.supervisor)
pulse.expect({heartbeat_s}, 60.0)
told = Path({told!r})
with told.open("a") as file:
    file.write(f"{{os.getpid()}} {{pulse.looped or '-'}} {{pulse.restarts['looping']}} {{pulse.restarts['stuck']}}\\n")
lives = len(told.read_text().splitlines())
{body}
"""
SERVE = """
end = []
signal.signal(signal.SIGTERM, lambda *_: end.append(7))
signal.signal(signal.SIGINT, lambda *_: end.append(9))
while not end:
    pulse.beat()
    time.sleep(0.05)
time.sleep(0.3)
sys.exit(sum(end))
"""
LOOP = "pulse.beat(); pulse.began({digest!r})\nwhile True: pass\n"


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    made, descriptor = Pulse.made()
    yield made
    os.close(descriptor)


class Supervised:
    """A supervisor in a process of its own, whose workers run ``body``."""

    def __init__(self, folder: Path, body: str) -> None:
        self.told = folder / "told"
        self.log = folder / "log"
        script = WORKER.format(heartbeat_s=HEARTBEAT_S, told=str(self.told), body=body)
        program = (
            f"import sys; from proxy.supervisor import Supervisor; sys.exit(Supervisor({self._command(script)}).run())"
        )
        with self.log.open("wb") as output:
            self.process = subprocess.Popen([sys.executable, "-c", program], stderr=output)

    def _command(self, script: str) -> list[str]:
        return [sys.executable, "-c", script]

    def lives(self) -> list[list[str]]:
        """What each worker said when it began: process id, policies that looped before, restarts by reason."""
        return [line.split() for line in self.told.read_text().splitlines()] if self.told.exists() else []

    def worker(self, number: int = 1) -> psutil.Process:
        """The ``number``-th worker, once it is there."""
        until(lambda: len(self.lives()) >= number, self.log)
        return psutil.Process(int(self.lives()[number - 1][0]))

    def alarms(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def ended(self) -> int:
        return self.process.wait(60)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[[str], Supervised]]:
    made: list[Supervised] = []

    def start(body: str) -> Supervised:
        made.append(Supervised(tmp_path, body))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()


def until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


# -------------------------------------------------------------------------------------------------- the page


def test_what_a_worker_writes_its_supervisor_reads(pulse: Pulse) -> None:
    assert pulse.reading() == Reading(beat=0, began=0, asked=PolicyDigest("00" * 32), heartbeat_s=None, start_s=None)
    engine: EnginePulse = pulse
    before = time.monotonic_ns()
    pulse.expect(2.5, 80.0)
    pulse.beat()
    engine.began(ONE)
    reading = pulse.reading()
    assert before <= reading.beat <= reading.began <= time.monotonic_ns()
    assert (reading.asked, reading.heartbeat_s, reading.start_s) == (ONE, 2.5, 80.0)
    engine.ended()
    assert pulse.reading().began == 0
    engine.began(OTHER)
    assert pulse.reading().asked == OTHER


def test_next_worker_finds_why_it_is_there_and_nothing_else_of_the_life_before(pulse: Pulse) -> None:
    assert (pulse.looped, dict(pulse.restarts)) == (None, {"looping": 0, "stuck": 0})
    pulse.expect(1, 2)
    pulse.beat()
    pulse.began(ONE)
    pulse.again(Ended.LOOPING, ONE)
    reading = pulse.reading()
    assert (reading.beat, reading.began, reading.heartbeat_s, reading.start_s) == (0, 0, None, None)
    assert (pulse.looped, dict(pulse.restarts)) == (ONE, {"looping": 1, "stuck": 0})
    pulse.again(Ended.STUCK, None)
    assert (pulse.looped, dict(pulse.restarts)) == (None, {"looping": 1, "stuck": 1})


def test_descriptor_that_is_no_page_is_refused(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(ConfigurationError, match="--worker"):
        Pulse.joined(descriptor)
    os.close(descriptor)


def test_worker_option_without_a_supervisor_is_wrong_use(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(tmp_path / "none.toml"), "--worker", "77"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--worker is for the supervisor alone" in done.stderr


# -------------------------------------------------------------------------------------------------- the judgement


class Watched:
    """A vigil at made-up times: the page is as ``reading`` says until it is changed."""

    def __init__(self, heartbeat_s: float | None = 2.0) -> None:
        self.now = self.used = 100.0
        self.vigil = Vigil(self.now)
        self.page = {"beat": 1, "began": 0, "asked": ONE, "heartbeat_s": heartbeat_s, "start_s": 9.0}

    def after(
        self, seconds: float, *, busy: float = 1.0, step: float = POLL_S, **page: object
    ) -> tuple[Ended, PolicyDigest | None] | None:
        """Look each ``step`` until ``seconds`` have passed or the worker has to be ended."""
        self.page.update(page)
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now += step
            self.used += busy * step
            found = self.vigil.look(Reading(**self.page), self.now, self.used)  # type: ignore[arg-type]
            if found is not None:
                return found
        return None


def test_worker_that_beats_lives() -> None:
    watched = Watched()
    assert all(watched.after(1.5, beat=beat) is None for beat in range(1, 50))


def test_evaluation_without_end_is_looping_and_names_its_policies() -> None:
    watched = Watched()
    watched.after(0.3, beat=5)
    assert watched.after(1.8, began=77, asked=OTHER) is None
    assert watched.after(0.3) == (Ended.LOOPING, OTHER)


def test_silence_without_an_evaluation_is_stuck() -> None:
    watched = Watched()
    watched.after(0.1, beat=5)
    assert watched.after(2.2) == (Ended.STUCK, None)


def test_evaluation_that_begins_late_in_a_silence_is_not_blamed_for_it() -> None:
    watched = Watched()
    watched.after(0.1, beat=5)
    assert watched.after(1.7) is None
    assert watched.after(0.5, began=77) == (Ended.STUCK, None)


def test_many_short_evaluations_in_one_turn_are_not_one_long_one() -> None:
    watched = Watched()
    watched.after(0.1, beat=5)
    found = [watched.after(0.2, began=began) for began in range(70, 82)]
    assert next(one for one in found if one is not None) == (Ended.STUCK, None)


def test_worker_that_was_stopped_in_the_middle_of_an_evaluation_did_not_loop() -> None:
    watched = Watched()
    watched.after(0.9, beat=5)  # busy until then
    assert watched.after(2.3, busy=0.0, began=77) == (Ended.STUCK, None)


def test_time_in_which_the_supervisor_itself_stood_still_is_no_silence() -> None:
    watched = Watched()
    watched.after(0.1, beat=5)
    assert watched.after(3600, step=3600, began=77) is None
    assert watched.after(1.5) is None
    assert watched.after(0.5) is not None


def test_start_has_a_longer_allowance_and_one_of_its_own_before_the_configuration_is_read() -> None:
    watched = Watched()
    assert watched.after(8.8, beat=0) is None
    assert watched.after(0.3) == (Ended.STUCK, None)
    assert not watched.vigil.serving
    unread = Watched(heartbeat_s=None)
    assert unread.after(START_S - 0.2, beat=0, start_s=None) is None
    assert unread.after(0.3) == (Ended.STUCK, None)


# -------------------------------------------------------------------------------------------------- real processes


def test_worker_with_a_looping_rule_is_ended_and_the_next_one_is_told(supervised: Callable[[str], Supervised]) -> None:
    run = supervised("if lives == 1:\n    " + LOOP.format(digest=ONE).replace("\n", "\n    ") + "\n" + SERVE)
    first = run.worker()
    began = time.monotonic()
    until(lambda: gone(first), run.log)
    assert time.monotonic() - began < HEARTBEAT_S + 1
    second = run.worker(2)
    assert run.lives()[1][1:] == [ONE, "1", "0"]
    run.process.terminate()
    assert run.ended() == 7
    assert gone(second)
    (alarm,) = run.alarms()
    assert (alarm["level"], alarm["policy"], alarm["restart"]) == ("critical", ONE, "looping")
    assert set(alarm) == {"time", "level", "logger", "message", "policy", "restart"}


def test_worker_that_is_stopped_alone_is_started_again_without_blame(supervised: Callable[[str], Supervised]) -> None:
    run = supervised(SERVE)
    first = run.worker()
    time.sleep(0.3)
    first.send_signal(signal.SIGSTOP)
    run.worker(2)
    assert gone(first)
    assert run.lives()[1][1:] == ["-", "0", "1"]
    (alarm,) = run.alarms()
    assert (alarm["level"], alarm["restart"]) == ("error", "stuck")


def test_supervisor_and_worker_stopped_together_go_on_together(supervised: Callable[[str], Supervised]) -> None:
    run = supervised(SERVE)
    worker = run.worker()
    time.sleep(0.3)
    both = (psutil.Process(run.process.pid), worker)
    for process in both:
        process.send_signal(signal.SIGSTOP)
    time.sleep(4 * HEARTBEAT_S)
    for process in both:
        process.send_signal(signal.SIGCONT)
    time.sleep(2 * HEARTBEAT_S)
    assert not gone(worker)
    assert (len(run.lives()), run.alarms()) == (1, [])


def test_supervisor_gives_up_on_a_worker_that_is_stuck_again_and_again(
    supervised: Callable[[str], Supervised],
) -> None:
    run = supervised("pulse.beat(); time.sleep(600)")
    assert run.ended() == 1
    assert len(run.lives()) == RESTARTS + 1
    assert [alarm["level"] for alarm in run.alarms()] == ["error"] * (RESTARTS + 1) + ["critical"]
    assert "giving up" in run.alarms()[-1]["message"]


@pytest.mark.parametrize(("body", "status"), [("sys.exit(0)", 0), ("sys.exit(2)", 2), ("os.abort()", 128 + 6)])
def test_status_of_a_worker_that_ends_by_itself_is_given_back(
    supervised: Callable[[str], Supervised], body: str, status: int
) -> None:
    run = supervised(body)
    assert run.ended() == status
    assert len(run.lives()) == 1


def test_each_signal_reaches_the_worker_once(supervised: Callable[[str], Supervised]) -> None:
    run = supervised(SERVE)
    run.worker()
    time.sleep(0.3)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGINT):
        run.process.send_signal(number)
        time.sleep(0.05)
    assert run.ended() == 7 + 9


def test_signal_before_the_worker_listens_ends_it_as_it_should(supervised: Callable[[str], Supervised]) -> None:
    run = supervised("time.sleep(600)")
    worker = run.worker()
    run.process.terminate()
    assert run.ended() == 0
    assert gone(worker)
    assert run.alarms() == []


def test_worker_dies_with_its_supervisor(supervised: Callable[[str], Supervised]) -> None:
    run = supervised(LOOP.format(digest=ONE))
    worker = run.worker()
    run.process.kill()
    run.process.wait()
    killed = time.monotonic()
    until(lambda: gone(worker), run.log)
    assert time.monotonic() - killed < 1


def test_worker_whose_supervisor_is_gone_does_not_start() -> None:
    made, descriptor = Pulse.made()
    made._numbers[4] = 1  # a supervisor that is not the parent
    script = WORKER.format(heartbeat_s=1.0, told="/dev/null", body="")
    done = subprocess.run(
        [sys.executable, "-c", script, str(descriptor)],
        pass_fds=(descriptor,),
        capture_output=True,
        text=True,
        check=False,
    )
    os.close(descriptor)
    assert done.returncode == 1
    assert "it is gone" in done.stderr


def test_configuration_error_of_the_real_worker_is_the_commands_own(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "proxy", "serve", "--config", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == f"dicomward: {tmp_path}/none.toml: cannot be read: No such file or directory\n"


def test_supervisor_imports_nothing_of_what_serves() -> None:
    script = (
        "import sys; from proxy.cli import build; build(['serve']); "
        "print(sorted({'aiohttp', 'regorus', 'pydantic', 'uvloop', 'ssl', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
