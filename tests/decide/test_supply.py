"""Policies of a folder, edited while a worker serves: well, badly, and in ways that never end."""

import asyncio
import contextlib
import logging
import time
from pathlib import Path

import pytest

from proxy.decide import Embedded, Kept, Supply, WatchedFolder, read_policies
from proxy.errors import ConfigurationError, PolicyUnavailableError
from proxy.model import PolicyDigest
from tests.decide.conftest import Counting
from tests.decide.supplying import GOOD, NOW, watching


async def look_twice(supply: Supply) -> None:
    await supply.look()
    await supply.look()


def revoke(folder: Path) -> None:
    """A good edit: the radiologist is nobody any more."""
    subjects = folder / "data/subjects.json"
    subjects.write_text(subjects.read_text().replace("device:radiologist", "device:nobody"))


def loop(folder: Path) -> None:
    """A rule that never ends, whatever is asked."""
    ranges = "".join(f"\tsome {name} in numbers.range(0, 90000)\n" for name in "abcdef")
    path = folder / "dicomweb/conflict/conflict.rego"
    path.write_text(path.read_text() + f'\ndeny contains "study-mismatch" if {{\n{ranges}\ta + b + c + f < 0\n}}\n')


async def test_a_good_edit_comes_into_force(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        before = supply.digest
        assert (await supply.decide(GOOD)).allow
        revoke(folder)
        await look_twice(supply)
        verdict = await supply.decide(GOOD)
        assert "subject-unknown" in verdict.reasons
        assert verdict.policy == supply.digest == read_policies(folder).digest != before
        assert (supply.generation, supply.last_error, supply.quarantined) == (2, None, False)
        assert (observer.reloads("loaded"), observer.reloads("rejected")) == (2, 0)
        assert verdict.policy_as_of == supply.as_of
        assert 0 <= supply.age_s(supply.loaded_at) < 60


async def test_an_edit_seen_once_waits(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        revoke(folder)
        await supply.look()
        assert supply.generation == 1
        (folder / "lib/more.rego").write_text("package dicomweb.lib.more\n")
        await supply.look()
        assert supply.generation == 1
        await supply.look()
        assert supply.generation == 2


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("dicomweb/posture/posture.rego", "package dicomweb.posture\n\ndeny contains {"),
        ("dicomweb/posture/posture.rego", "package dicomweb.postur\n"),
        ("dicomweb/posture/posture.rego", ""),
        ("dicomweb/posture/posture.rego", 'package dicomweb.posture\n\ndeny contains "nonsense" if true\n'),
        ("dicomweb/posture/posture.rego", 'package dicomweb.posture\n\ndeny contains "x" if time.now_ns() > 0\n'),
        ("data/limits.json", '{"limits": {"posture"'),
        ("data/limits.json", '{"limits": {}, "limits": {}}'),
        ("data/limits.json", "[]"),
        ("data/limits.json", ""),
        ("capabilities.json", "{}"),
        ("capabilities.json", '{"builtins": [{"name": "http.send"}]}'),
    ],
)
async def test_a_broken_edit_keeps_the_old_policies(
    folder: Path, observer: Counting, caplog: pytest.LogCaptureFixture, path: str, content: str
) -> None:
    async with watching(folder, observer) as supply:
        before = supply.digest
        good = (folder / path).read_text()
        (folder / path).write_text(content)
        with caplog.at_level(logging.ERROR):
            for _ in range(4):
                await supply.look()
        assert (supply.generation, supply.digest) == (1, before)
        assert (await supply.decide(GOOD)).allow
        assert supply.last_error is not None
        assert observer.reloads("rejected") == len(caplog.records) == 1
        assert "\n" not in caplog.records[0].getMessage()
        (folder / path).write_text(good)
        await look_twice(supply)
        assert supply.generation == 1
        assert supply.last_error is None


async def test_the_log_names_file_and_error(folder: Path, observer: Counting, caplog: pytest.LogCaptureFixture) -> None:
    async with watching(folder, observer) as supply:
        (folder / "dicomweb/conflict/conflict.rego").write_text("package dicomweb.conflict\n\ndeny contains {")
        with caplog.at_level(logging.ERROR):
            await look_twice(supply)
    assert "dicomweb/conflict/conflict.rego:3" in caplog.text
    assert "expecting expression" in caplog.text


async def test_a_file_cut_off_where_it_still_parses_is_not_taken_at_once(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        path = folder / "dicomweb/conflict/conflict.rego"
        whole = path.read_text()
        path.write_text(whole[: whole.index("# METADATA")])
        await supply.look()
        path.write_text(whole)
        await look_twice(supply)
        assert supply.generation == 1


async def test_50_mb_keep_the_old_policies(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        with (folder / "data/huge.json").open("wb") as file:
            file.truncate(50 << 20)
        for _ in range(4):
            await supply.look()
        assert supply.last_error is not None
        assert supply.last_error.startswith("data/huge.json: is larger than")
        assert (supply.generation, observer.reloads("rejected")) == (1, 1)
        assert (await supply.decide(GOOD)).allow


async def test_an_emptied_folder_keeps_the_old_policies(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        for path in folder.rglob("*.rego"):
            path.unlink()
        for _ in range(4):
            await supply.look()
        assert supply.last_error is not None
        assert supply.last_error.endswith("holds no policy")
        assert (supply.generation, observer.reloads("rejected")) == (1, 1)
        assert (await supply.decide(GOOD)).allow


async def test_an_endless_candidate_is_refused_and_nobody_waits(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        supply._compile_s = 4.0
        loop(folder)
        await supply.look()
        looking = asyncio.create_task(supply.look())
        decided = 0
        while not looking.done():
            assert (await supply.decide(GOOD)).allow
            decided += 1
            await asyncio.sleep(0.01)
        assert decided > 20
        assert supply.generation == 1
        assert supply.last_error == "not compiled and evaluated within 4 s"
        started = time.perf_counter()
        await look_twice(supply)
        assert time.perf_counter() - started < 2  # it is not tried again
        assert observer.reloads("rejected") == 1


async def test_a_link_or_a_missing_folder_keeps_the_old_policies(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        (folder / "lib/link.rego").symlink_to("/etc/passwd")
        await look_twice(supply)
        assert supply.last_error == "lib/link.rego: is a symbolic link"
        folder.rename(folder.with_name("away"))
        await look_twice(supply)
        assert (await supply.decide(GOOD)).allow
        assert observer.reloads("rejected") == 2


async def test_watching_picks_up_an_edit(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        task = asyncio.create_task(supply.watch(0.02))
        revoke(folder)
        async with asyncio.timeout(20):
            while supply.generation == 1:
                await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not (await supply.decide(GOOD)).allow


async def test_a_broken_folder_at_start_is_a_configuration_error(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer):
        pass  # so there is something in the history: a fallback would have something to fall back to
    observer.counted.clear()
    (folder / "lib/subject.rego").write_text("package dicomweb.lib.subject\n\nx := {")
    with pytest.raises(ConfigurationError, match=r"lib/subject\.rego:3"):
        async with watching(folder, observer):
            pass
    with pytest.raises(ConfigurationError):
        async with watching(folder / "absent", observer):
            pass
    assert observer.counted == []


async def test_nothing_is_decided_before_the_start(folder: Path, observer: Counting) -> None:
    supply = Supply(WatchedFolder(folder), Embedded(), Kept(folder.with_name("kept")), observer)
    assert supply.digest == ""
    for ask in (supply.decide, supply.visible):
        with pytest.raises(PolicyUnavailableError, match="no policies that may decide"):
            await ask(GOOD)
    await supply.close()


async def test_visible_rows_come_from_the_policies_in_force(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        assert await supply.visible(GOOD) == set(range(10))
        revoke(folder)
        await look_twice(supply)
        assert await supply.visible(GOOD) == set()


async def test_policies_that_could_not_be_tried_are_tried_again(
    folder: Path, observer: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(folder, observer) as supply:
        revoke(folder)

        def no_process(*_: object, **__: object) -> None:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        with monkeypatch.context() as broken:
            broken.setattr("subprocess.Popen", no_process)
            for _ in range(4):
                await supply.look()
        assert (supply.generation, observer.reloads("rejected")) == (1, 1)
        await supply.look()
        assert (supply.generation, supply.last_error) == (2, None)


# ------------------------------------------------------------------------------------------------ what is kept


async def test_what_decides_was_kept_before(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        first = supply.digest
        revoke(folder)
        await look_twice(supply)
        kept = Kept(folder.with_name("kept"))
        assert [told.digest for told in kept.history()] == [first, supply.digest]
        assert kept.read(supply.digest).digest == supply.digest
        assert kept.read(first).digest == first


async def test_what_cannot_be_kept_does_not_decide(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        history, sets = folder.with_name("kept") / "history.jsonl", folder.with_name("kept") / "sets"
        revoke(folder)
        for path in (history, sets):
            path.rename(path.with_name("away"))
            if path is history:
                path.mkdir()
            for _ in range(3):
                await supply.look()
            assert supply.generation == 1
            assert supply.last_error is not None
            assert supply.last_error.endswith("what is not kept may not decide")
            assert (await supply.decide(GOOD)).allow
            if path is history:
                path.rmdir()
            path.with_name("away").rename(path)
        assert observer.reloads("rejected") == 2
        await supply.look()
        assert (supply.generation, supply.last_error) == (2, None)


# ------------------------------------------------------------------------------------------------ quarantine


def put_away(folder: Path, digest: PolicyDigest) -> Kept:
    kept = Kept(folder.with_name("kept"))
    kept.quarantine(digest, "a worker did not come back", NOW)
    return kept


async def test_after_a_restart_the_previous_policies_serve(
    folder: Path, observer: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(folder, observer) as supply:
        first = supply.digest
        revoke(folder)
        await look_twice(supply)
        second = supply.digest
    kept = put_away(folder, second)
    with caplog.at_level(logging.ERROR):
        async with watching(folder, observer) as again:
            assert (again.digest, again.quarantined) == (first, True)
            assert (await again.decide(GOOD)).allow
            for _ in range(4):
                await again.look()
            assert again.digest == first
            assert again.last_error is not None
            assert f"policies {second} stand in quarantine" in again.last_error
            assert observer.reloads("quarantined") == len(caplog.records) == 1
            kept.release(second)
            await again.look()
            assert (again.digest, again.quarantined) == (second, False)
            assert again.last_error is None


async def test_a_worker_that_serves_leaves_what_another_put_into_quarantine(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        first = supply.digest
        revoke(folder)
        await look_twice(supply)
        put_away(folder, supply.digest)
        await supply.look()
        assert (supply.digest, supply.generation, supply.quarantined) == (first, 3, True)
        assert (await supply.decide(GOOD)).allow
        assert observer.reloads("quarantined") == 1


async def test_quarantine_holds_while_the_folder_is_broken_too(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        first = supply.digest
        revoke(folder)
        await look_twice(supply)
        (folder / "data/limits.json").write_text("{")
        put_away(folder, supply.digest)
        await supply.look()
        assert supply.digest == first


async def test_where_all_stand_in_quarantine_nothing_is_decided(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        digest = supply.digest
        kept = put_away(folder, digest)
        await supply.look()
        with pytest.raises(PolicyUnavailableError, match="no policies that may decide"):
            await supply.decide(GOOD)
        assert (supply.digest, supply.generation) == ("", 2)
        with pytest.raises(ConfigurationError, match=f"policies {digest} stand in quarantine"):
            async with watching(folder, observer):
                pass
        kept.release(digest)
        await supply.look()
        assert (await supply.decide(GOOD)).allow


async def test_a_set_of_the_history_that_was_changed_is_passed_over(folder: Path, observer: Counting) -> None:
    async with watching(folder, observer) as supply:
        first = supply.digest
        for limit in (1, 2):
            (folder / "data/more.json").write_text(f'{{"more": {limit}}}')
            await look_twice(supply)
            if limit == 1:
                second = supply.digest
        third = supply.digest
    assert len({first, second, third}) == 3
    (folder.with_name("kept") / f"sets/{second}.tar.gz").write_bytes(b"x")
    put_away(folder, third)
    async with watching(folder, observer) as again:
        assert again.digest == first


async def test_a_set_that_is_passed_over_is_told_of_once(
    folder: Path, observer: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(folder, observer) as supply:
        first = supply.digest
        revoke(folder)
        await look_twice(supply)
        second = supply.digest
        (folder.with_name("kept") / f"sets/{first}.tar.gz").write_bytes(b"x")
        kept = put_away(folder, second)
        with caplog.at_level(logging.ERROR):
            for _ in range(4):
                await supply.look()
        assert [first in line and "cannot be again" in line for line in caplog.messages] == [True, False]
        assert f"policies {second} stand in quarantine" in caplog.messages[1]
        kept.release(second)
        await supply.look()
        assert (supply.digest, supply.last_error) == (second, None)
