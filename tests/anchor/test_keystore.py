"""Keys in files: hexadecimal or encrypted, for their owner alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.anchor.keys import load_account, new_keystore
from proxy.errors import ConfigurationError


def secret(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_encrypted_key_opens_with_its_password_alone(tmp_path: Path) -> None:
    password, path = secret(tmp_path / "password", "correct horse\n"), tmp_path / "writer.json"
    address = new_keystore(path, password)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["version"] == 3
    assert load_account(path, password).address == address
    with pytest.raises(ConfigurationError, match="not of this password") as caught:
        load_account(path, secret(tmp_path / "other", "wrong"))
    assert "wrong" not in caught.value.detail
    with pytest.raises(ConfigurationError, match="a password_file is needed"):
        load_account(path)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        new_keystore(path, password)


@pytest.mark.parametrize("text", ["{}", '{"version": 3}', "{", '{"version": 3, "crypto": {"kdf": "none"}}'])
def test_broken_keystore_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a keystore"):
        load_account(secret(tmp_path / "key", text), secret(tmp_path / "password", "x"))


def test_key_or_password_open_to_others_is_refused(tmp_path: Path) -> None:
    password = secret(tmp_path / "password", "x")
    password.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_account(secret(tmp_path / "key", "{}"), password)
    with pytest.raises(ConfigurationError, match="empty"):
        new_keystore(tmp_path / "new", secret(tmp_path / "empty", ""))
    with pytest.raises(ConfigurationError, match="not a hexadecimal") as caught:
        load_account(secret(tmp_path / "plain", "0xsecret"))
    assert "secret" not in caught.value.detail
