from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.anchor.evidence import AuditorKey, FolderStore, Sealed, cid_of
from proxy.anchor.evidence import folder as module
from proxy.errors import EvidenceError, EvidenceFault
from tests.anchor.evidence.conftest import sealed

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
KEY = AuditorKey.generate()


def fault(ask: object) -> EvidenceFault:
    with pytest.raises(EvidenceError) as refused:
        ask()  # type: ignore[operator]
    return refused.value.fault


@pytest.fixture
def bundle(folder: FolderStore) -> Sealed:
    made = sealed(KEY)
    folder.put(made.cid, made.content, made.envelope)
    return made


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_what_was_put_comes_back_and_is_for_its_owner_alone(
    folder: FolderStore, bundle: Sealed, tmp_path: Path
) -> None:
    assert folder.content(bundle.cid) == bundle.content
    assert folder.envelope(bundle.cid) == bundle.envelope
    assert folder.cids() == [bundle.cid]
    for path in (tmp_path / "evidence").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_content_that_was_changed_is_altered(folder: FolderStore, bundle: Sealed, tmp_path: Path) -> None:
    path = tmp_path / "evidence/content" / bundle.cid
    for spoilt in (bundle.content[:-1], b"", bundle.content + b"\0", sealed(KEY).content):
        path.write_bytes(spoilt)
        assert fault(lambda: folder.content(bundle.cid)) is EvidenceFault.ALTERED


def test_content_under_another_name_is_not_taken(folder: FolderStore) -> None:
    one, other = sealed(KEY), sealed(KEY)
    assert fault(lambda: folder.put(one.cid, other.content, one.envelope)) is EvidenceFault.ALTERED


def test_what_is_not_there_is_absent(folder: FolderStore, bundle: Sealed, tmp_path: Path) -> None:
    other = cid_of(b"other")
    assert fault(lambda: folder.content(other)) is EvidenceFault.ABSENT
    assert fault(lambda: folder.envelope(other)) is EvidenceFault.ABSENT
    assert fault(lambda: folder.replace_envelope(other, b"{}")) is EvidenceFault.ABSENT
    (tmp_path / "evidence/keys" / f"{bundle.cid}.json").unlink()
    assert fault(lambda: folder.envelope(bundle.cid)) is EvidenceFault.ABSENT


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "", "a/b", "b" + "a" * 57 + "/", "b\0" + "a" * 57])
def test_name_from_a_chain_is_no_path(folder: FolderStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "evidence/secret").write_text("secret")
    before = files(tmp_path)
    assert fault(lambda: folder.content(name)) is EvidenceFault.ABSENT
    assert fault(lambda: folder.envelope(name)) is EvidenceFault.ABSENT
    assert fault(lambda: folder.put(name, b"content", b"{}")) is EvidenceFault.ABSENT
    assert fault(lambda: folder.replace_envelope(name, b"{}")) is EvidenceFault.ABSENT
    assert fault(lambda: folder.erase(name, "why", NOW)) is EvidenceFault.ABSENT
    assert fault(lambda: folder.remove(name)) is EvidenceFault.ABSENT
    assert folder.erased(name) is None
    assert files(tmp_path) == before


def test_link_in_the_folder_is_not_followed(folder: FolderStore, bundle: Sealed, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(bundle.content)
    path = tmp_path / "evidence/content" / bundle.cid
    path.unlink()
    path.symlink_to(outside)
    assert fault(lambda: folder.content(bundle.cid)) is EvidenceFault.STORE
    folder.put(bundle.cid, bundle.content, bundle.envelope)
    assert not path.is_symlink()
    assert outside.read_bytes() == bundle.content


def test_link_in_place_of_a_draft_is_not_written_through(folder: FolderStore, tmp_path: Path) -> None:
    bundle, outside = sealed(KEY), tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "evidence/content" / f"{bundle.cid}.draft").symlink_to(outside)
    folder.put(bundle.cid, bundle.content, bundle.envelope)
    assert outside.read_text() == "mine"


def test_pipe_in_place_of_a_file_does_not_hold_up(folder: FolderStore, bundle: Sealed, tmp_path: Path) -> None:
    path = tmp_path / "evidence/content" / bundle.cid
    path.unlink()
    os.mkfifo(path)
    assert fault(lambda: folder.content(bundle.cid)) is EvidenceFault.ALTERED


def test_file_larger_than_evidence_can_be_is_not_read(
    folder: FolderStore, bundle: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_CONTENT", 100)
    assert fault(lambda: folder.content(bundle.cid)) is EvidenceFault.STORE


def test_half_written_file_is_no_bundle_and_goes_at_the_next_start(
    folder: FolderStore, bundle: Sealed, tmp_path: Path
) -> None:
    for name in ("content", "keys"):
        (tmp_path / "evidence" / name / f"{cid_of(b'half')}.draft").write_bytes(b"half")
    assert folder.cids() == [bundle.cid]
    FolderStore(tmp_path / "evidence")
    assert len(files(tmp_path)) == 4
    FolderStore.prepared(tmp_path / "evidence")
    assert len(files(tmp_path)) == 2


def test_disk_that_fails_leaves_what_was_there(
    folder: FolderStore, bundle: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert fault(lambda: folder.replace_envelope(bundle.cid, b"{}")) is EvidenceFault.STORE
    assert folder.envelope(bundle.cid) == bundle.envelope


def test_erased_bundle_says_so_and_keeps_nothing(folder: FolderStore, bundle: Sealed, tmp_path: Path) -> None:
    folder.erase(bundle.cid, "asked by the patient", NOW)
    assert files(tmp_path) == [f"evidence/erased/{bundle.cid}.json"]
    with pytest.raises(EvidenceError, match=r"2026-11-23T20:00:00\.000Z: asked by the patient") as refused:
        folder.content(bundle.cid)
    assert refused.value.fault is EvidenceFault.ERASED
    assert fault(lambda: folder.envelope(bundle.cid)) is EvidenceFault.ERASED
    assert folder.cids() == []
    assert folder.erasures() == [bundle.cid]
    folder.erase(bundle.cid, "asked by the patient", NOW)
    assert folder.erasures() == [bundle.cid]


def test_erasure_that_was_interrupted_is_finished_at_the_next_start(
    folder: FolderStore, bundle: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(store: FolderStore, cid: str) -> None:
        raise EvidenceError(EvidenceFault.STORE, "the power went")

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "remove", broken)
        assert fault(lambda: folder.erase(bundle.cid, "why", NOW)) is EvidenceFault.STORE
    assert folder.content(bundle.cid) == bundle.content
    again = FolderStore.prepared(tmp_path / "evidence")
    assert fault(lambda: again.content(bundle.cid)) is EvidenceFault.ERASED
    assert files(tmp_path) == [f"evidence/erased/{bundle.cid}.json"]


def test_note_of_an_erasure_that_is_none_says_nothing(folder: FolderStore, tmp_path: Path) -> None:
    cid = cid_of(b"never there")
    for content in (b"", b"[]", b"{}", b'{"time":1}', b"\xff"):
        (tmp_path / "evidence/erased" / f"{cid}.json").write_bytes(content)
        assert fault(lambda: folder.content(cid)) is EvidenceFault.ABSENT


def test_copy_that_cannot_be_written_is_read(folder: FolderStore, bundle: Sealed, tmp_path: Path) -> None:
    copy = tmp_path / "evidence"
    (copy / "erased").rmdir()
    before = files(tmp_path)
    assert FolderStore(copy).content(bundle.cid) == bundle.content
    assert FolderStore(copy).erasures() == []
    assert files(tmp_path) == before


def test_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    assert fault(lambda: FolderStore(tmp_path / "nowhere")) is EvidenceFault.STORE
    (tmp_path / "file").write_text("")
    assert fault(lambda: FolderStore.prepared(tmp_path / "file")) is EvidenceFault.STORE
