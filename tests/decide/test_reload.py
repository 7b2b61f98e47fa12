import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from proxy.decide import ReloadingEngine, read_policies
from proxy.decide.example import example_input
from proxy.errors import ConfigurationError
from proxy.model import Action
from tests.decide.conftest import Counting

GOOD = example_input("urn:dicomward:device:radiologist", Action.RETRIEVE)


async def look_twice(engine: ReloadingEngine) -> None:
    await engine.look()
    await engine.look()


def revoke(folder: Path) -> None:
    """A good edit: the radiologist is nobody any more."""
    subjects = folder / "data/subjects.json"
    subjects.write_text(subjects.read_text().replace("device:radiologist", "device:nobody"))


async def test_a_good_edit_comes_into_force(folder: Path, observer: Counting) -> None:
    engine = ReloadingEngine(folder, observer)
    before = engine.digest
    assert (await engine.decide(GOOD)).allow
    revoke(folder)
    await look_twice(engine)
    verdict = await engine.decide(GOOD)
    assert "subject-unknown" in verdict.reasons
    assert verdict.policy == engine.digest == read_policies(folder).digest != before
    assert (engine.generation, engine.last_error) == (2, None)
    assert (observer.reloads("loaded"), observer.reloads("rejected")) == (2, 0)


async def test_an_edit_seen_once_waits(folder: Path, observer: Counting) -> None:
    engine = ReloadingEngine(folder, observer)
    revoke(folder)
    await engine.look()
    assert engine.generation == 1
    (folder / "lib/more.rego").write_text("package dicomweb.lib.more\n")
    await engine.look()
    assert engine.generation == 1
    await engine.look()
    assert engine.generation == 2


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("dicomweb/posture/posture.rego", "package dicomweb.posture\n\ndeny contains {"),
        ("dicomweb/posture/posture.rego", "package dicomweb.postur\n"),
        ("dicomweb/posture/posture.rego", ""),
        ("dicomweb/posture/posture.rego", 'package dicomweb.posture\n\ndeny contains "nonsense" if true\n'),
        ("dicomweb/posture/posture.rego", 'package dicomweb.posture\n\ndeny contains "x" if time.now_ns() > 0\n'),
        ("data/limits.json", '{"limits": {"posture"'),
        ("data/limits.json", "[]"),
        ("capabilities.json", "{}"),
    ],
)
async def test_a_broken_edit_keeps_the_old_policies(
    folder: Path, observer: Counting, caplog: pytest.LogCaptureFixture, path: str, content: str
) -> None:
    engine = ReloadingEngine(folder, observer)
    before = engine.digest
    good = (folder / path).read_text()
    (folder / path).write_text(content)
    with caplog.at_level(logging.ERROR):
        for _ in range(4):
            await engine.look()
    assert (engine.generation, engine.digest) == (1, before)
    assert (await engine.decide(GOOD)).allow
    assert engine.last_error is not None
    assert observer.reloads("rejected") == len(caplog.records) == 1
    assert "\n" not in caplog.records[0].getMessage()
    (folder / path).write_text(good)
    await engine.look()
    assert (engine.generation, engine.last_error) == (1, None)


async def test_the_log_names_file_and_error(folder: Path, observer: Counting, caplog: pytest.LogCaptureFixture) -> None:
    engine = ReloadingEngine(folder, observer)
    (folder / "dicomweb/conflict/conflict.rego").write_text("package dicomweb.conflict\n\ndeny contains {")
    with caplog.at_level(logging.ERROR):
        await look_twice(engine)
    assert "dicomweb/conflict/conflict.rego:3" in caplog.text
    assert "expecting expression" in caplog.text


async def test_a_file_cut_off_where_it_still_parses_is_not_taken_at_once(folder: Path, observer: Counting) -> None:
    engine = ReloadingEngine(folder, observer)
    path = folder / "dicomweb/posture/posture.rego"
    whole = path.read_text()
    path.write_text(whole[: whole.index("# METADATA\n# title: Posture stale")])
    await engine.look()
    path.write_text(whole)
    await look_twice(engine)
    assert engine.generation == 1


async def test_an_endless_candidate_is_refused_and_nobody_waits(folder: Path, observer: Counting) -> None:
    engine = ReloadingEngine(folder, observer, deadline_s=4.0)
    loops = "".join(f"\tsome {name} in numbers.range(0, 90000)\n" for name in "abcdef")
    path = folder / "dicomweb/conflict/conflict.rego"
    path.write_text(path.read_text() + f'\ndeny contains "study-mismatch" if {{\n{loops}\ta + b + c + f < 0\n}}\n')
    await engine.look()
    looking = asyncio.create_task(engine.look())
    decided = 0
    while not looking.done():
        assert (await engine.decide(GOOD)).allow
        decided += 1
        await asyncio.sleep(0.01)
    assert decided > 20
    assert engine.generation == 1
    assert engine.last_error == "not compiled and evaluated within 4 s"


async def test_a_link_or_a_missing_folder_keeps_the_old_policies(folder: Path, observer: Counting) -> None:
    engine = ReloadingEngine(folder, observer)
    (folder / "lib/link.rego").symlink_to("/etc/passwd")
    await look_twice(engine)
    assert engine.last_error == "lib/link.rego: is a symbolic link"
    folder.rename(folder.with_name("away"))
    await look_twice(engine)
    assert (await engine.decide(GOOD)).allow
    assert observer.reloads("rejected") == 2


async def test_watching_picks_up_an_edit(folder: Path, observer: Counting) -> None:
    engine = ReloadingEngine(folder, observer)
    watching = asyncio.create_task(engine.watch(0.02))
    revoke(folder)
    async with asyncio.timeout(10):
        while engine.generation == 1:
            await asyncio.sleep(0.02)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    assert not (await engine.decide(GOOD)).allow


def test_a_broken_folder_at_start_is_a_configuration_error(folder: Path, observer: Counting) -> None:
    (folder / "lib/subject.rego").write_text("package dicomweb.lib.subject\n\nx := {")
    with pytest.raises(ConfigurationError, match=r"lib/subject\.rego:3"):
        ReloadingEngine(folder, observer)
    with pytest.raises(ConfigurationError):
        ReloadingEngine(folder / "absent", observer)
    assert observer.counted == []


async def test_visible_rows_come_from_the_engine_in_force(folder: Path, observer: Counting) -> None:
    engine = ReloadingEngine(folder, observer)
    assert await engine.visible(GOOD) == set(range(10))
    revoke(folder)
    await look_twice(engine)
    assert await engine.visible(GOOD) == set()


async def test_policies_that_could_not_be_tried_are_tried_again(
    folder: Path, observer: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ReloadingEngine(folder, observer)
    revoke(folder)

    def no_process(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as broken:
        broken.setattr("subprocess.run", no_process)
        await look_twice(engine)
    assert (engine.generation, observer.reloads("rejected")) == (1, 1)
    await engine.look()
    assert (engine.generation, engine.last_error) == (2, None)
