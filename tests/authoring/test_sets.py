"""``policy bundle``, ``history``, ``show`` and ``release``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxy.authoring import read_source
from proxy.decide import Kept
from proxy.decide.policies import unpack_verified, verification_key
from tests.authoring.small import Command

NOW = datetime(2026, 11, 22, 19, 40, tzinfo=UTC)


@pytest.fixture
def store(folder: Path, tmp_path: Path) -> Path:
    kept = Kept(tmp_path / "store")
    policies = read_source(folder).policies
    kept.keep(policies)
    kept.came_into_force(policies.digest, NOW, NOW)
    kept.quarantine(policies.digest, "it never ended", NOW)
    return tmp_path / "store"


def test_a_bundle_is_signed_and_holds_what_the_folder_held(command: Command, folder: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(private)
    out = tmp_path / "bundle.tar.gz"
    words = ("policy", "bundle", folder, "--out", out, "--key", tmp_path / "key.pem", "--serial", "3", "--json")
    told = json.loads(command(*words))
    signed = unpack_verified(out.read_bytes(), [verification_key(public)])
    assert signed.serial == told["serial"] == 3
    assert signed.policies.digest == told["policy"] == read_source(folder).policies.digest


def test_a_bundle_of_policies_that_fail_their_trial_is_not_written(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    (folder / "dicomweb/known/known.rego").unlink()
    out = tmp_path / "bundle.tar.gz"
    words = ("policy", "bundle", folder, "--out", out, "--key", tmp_path / "key.pem", "--serial", "3")
    assert "see dicomward policy check" in command(*words, status=2)
    assert not out.exists()


@pytest.mark.parametrize("content", [None, b"no key"])
def test_a_key_that_cannot_be_used_is_said(
    content: bytes | None, command: Command, folder: Path, tmp_path: Path
) -> None:
    key, out = tmp_path / "key.pem", tmp_path / "bundle.tar.gz"
    if content is not None:
        key.write_bytes(content)
    assert f"--key {key}" in command("policy", "bundle", folder, "--out", out, "--key", key, "--serial", "3", status=2)
    assert not out.exists()


def test_history_and_release(command: Command, store: Path) -> None:
    (digest,) = Kept(store).digests()
    assert json.loads(command("policy", "history", "--store", store, "--json")) == {
        "history": [{"digest": digest, "as_of": "2026-11-22T19:40:00.000Z", "at": "2026-11-22T19:40:00.000Z"}],
        "quarantined": [digest],
    }
    said = command("policy", "history", "--store", store)
    assert f"2026-11-22T19:40:00.000Z  {digest}" in said
    assert "in quarantine" in said
    assert json.loads(command("policy", "release", digest, "--store", store, "--json")) == {"released": digest}
    assert Kept(store).quarantined() == frozenset()
    assert "is not in quarantine" in command("policy", "release", digest, "--store", store, status=2)
    assert "64 lower-case" in command("policy", "release", "../x", "--store", store, status=2)


def test_a_kept_set_becomes_the_same_folder_again(command: Command, folder: Path, store: Path, tmp_path: Path) -> None:
    digest = read_source(folder).policies.digest
    said = command("policy", "show", digest[:10], "--store", store, "--out", tmp_path / "again")
    assert "dicomweb/site/site.rego" in said
    assert read_source(tmp_path / "again").policies.digest == digest
    again = command("policy", "show", digest, "--store", store, "--out", tmp_path / "again", status=2)
    assert "what it holds is not replaced" in again
    other = "0" if digest[0] != "0" else "1"
    assert "is not kept here" in command("policy", "show", other, "--store", store, status=2)


def test_reading_a_store_writes_nothing_into_it(command: Command, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    said = command("policy", "history", "--store", empty, "--json")
    assert json.loads(said) == {"history": [], "quarantined": []}
    assert "is not kept here" in command("policy", "show", "0", "--store", empty, status=2)
    assert "is not in quarantine" in command("policy", "release", "0" * 64, "--store", empty, status=2)
    assert list(empty.iterdir()) == []
