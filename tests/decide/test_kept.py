"""The store of policies: what was in force can be shown, and nothing else takes its place."""

import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from proxy.decide import Kept, PolicySet
from proxy.decide.policies import Offer, Serials
from proxy.decide.policies.archive import pack_files
from proxy.errors import ConfigurationError, PolicyInvalidError
from proxy.model import PolicyDigest
from tests.decide.signers import SMALL
from tests.decide.supplying import NOW

OTHER = PolicySet(files=dict(SMALL.files) | {"data.json": b'{"a": 2}'})


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "kept")


def test_what_is_kept_comes_back_and_is_its_owners_alone(kept: Kept) -> None:
    kept.keep(SMALL)
    kept.came_into_force(SMALL.digest, NOW, NOW, 7)
    assert kept.read(SMALL.digest) == SMALL
    assert list(kept.digests()) == [SMALL.digest]
    kept.quarantine(OTHER.digest, "why", NOW)
    for path in (kept.folder, *kept.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_what_was_damaged_is_not_given_out_and_is_written_again(kept: Kept) -> None:
    kept.keep(SMALL)
    path = kept.folder / f"sets/{SMALL.digest}.tar.gz"
    for content in (b"", b"x", path.read_bytes()[:-9], pack_files(OTHER.files), pack_files({"../x.rego": b""})):
        path.write_bytes(content)
        with pytest.raises(PolicyInvalidError):
            kept.read(SMALL.digest)
        kept.keep(SMALL)
        assert kept.read(SMALL.digest) == SMALL
    with pytest.raises(PolicyInvalidError, match="not kept here"):
        kept.read(OTHER.digest)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_what_is_no_digest_is_no_path(kept: Kept, name: str) -> None:
    for ask in (kept.read, kept.release, lambda digest: kept.quarantine(digest, "why", NOW)):
        with pytest.raises(PolicyInvalidError, match="64 lower-case"):
            ask(PolicyDigest(name))


def test_history_outlives_a_line_that_was_cut_off(kept: Kept) -> None:
    history = kept.folder / "history.jsonl"
    assert kept.history() == []
    kept.came_into_force(SMALL.digest, NOW, NOW, 7)
    whole = history.read_bytes()
    history.write_bytes(whole + whole[:30])
    kept.came_into_force(OTHER.digest, NOW, NOW + timedelta(seconds=1))
    assert [(told.digest, told.serial) for told in kept.history()] == [(SMALL.digest, 7), (OTHER.digest, None)]
    with history.open("ab") as file:
        file.write(b'[]\n{"digest": "../x", "as_of": "", "at": ""}\n{"digest": 1, "as_of": "", "at": ""}\n')
    assert len(kept.history()) == 2


def test_workers_write_one_history_together(kept: Kept) -> None:
    write = (
        "import sys; from pathlib import Path; from proxy.decide import Kept; from tests.decide.supplying import NOW\n"
        "kept = Kept(Path(sys.argv[1]))\n"
        "for _ in range(50): kept.came_into_force('0' * 64, NOW, NOW)"
    )
    command = [sys.executable, "-c", write, str(kept.folder)]
    root = Path(__file__).parents[2]
    workers = [subprocess.Popen(command, cwd=root, env={"PYTHONPATH": str(root)}) for _ in range(2)]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert len(kept.history()) == 100


def test_quarantine_holds_until_it_is_lifted(kept: Kept) -> None:
    kept.quarantine(SMALL.digest, "a worker did not come back", NOW)
    assert Kept(kept.folder).quarantined() == {SMALL.digest}
    kept.release(SMALL.digest)
    assert kept.quarantined() == frozenset()
    with pytest.raises(OSError, match="No such file"):
        kept.release(SMALL.digest)


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"policy\.store"):
        Kept(tmp_path / "file")


def test_serials_only_grow(kept: Kept) -> None:
    def offer(serial: int | None, policies: PolicySet = SMALL, seconds: int = 0) -> Offer:
        return Offer(policies=policies, as_of=NOW + timedelta(seconds=seconds), serial=serial)

    serials = Serials(kept.folder)
    serials.take(offer(1))
    serials.take(offer(1))
    serials.check(offer(10_000_000, OTHER))  # looking at it takes nothing
    serials.take(offer(2, OTHER))
    for refused in (offer(1), offer(2), offer(2, OTHER, 1)):
        for ask in (serials.check, serials.take, Serials(kept.folder).take):
            with pytest.raises(PolicyInvalidError, match="was taken already"):
                ask(refused)
    serials.take(offer(None))  # what nobody signed has none
    serials.take(offer(3, OTHER, 1))
