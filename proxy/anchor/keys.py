"""The account's private key: hexadecimal in a file, or encrypted as Web3 secret storage, version 3."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Final, cast

from eth_account import Account
from eth_account.signers.local import LocalAccount

from proxy.errors import ConfigurationError

_MAX_KEY_BYTES: Final = 16_384


def load_account(path: Path, password_file: Path | None = None) -> LocalAccount:
    """Read a private key; ``password_file`` opens an encrypted one.

    :raises ConfigurationError: a file cannot be read, is open to others, holds no key, or the password is not its
    """
    text = _secret(path)
    if not text.startswith("{"):
        try:
            return cast("LocalAccount", Account.from_key(text))
        except ValueError:
            # `from None`: the library's message may quote the key.
            raise ConfigurationError(f"{path}: not a hexadecimal private key") from None
    if password_file is None:
        raise ConfigurationError(
            f"{path} is encrypted: a password_file is needed (ledger.writer_key_password_file, --registrar-password)"
        )
    try:
        return cast("LocalAccount", Account.from_key(Account.decrypt(text, _secret(password_file))))
    except (ValueError, KeyError, TypeError, NotImplementedError):
        raise ConfigurationError(f"{path}: not a keystore of version 3, or not of this password") from None


def new_keystore(path: Path, password_file: Path) -> str:
    """Make up a key and write it encrypted, mode 0600; returns its address. What exists is not replaced.

    :raises ConfigurationError: the file exists or cannot be written, or the password cannot be read or is empty
    """
    password = _secret(password_file)
    if not password:
        raise ConfigurationError(f"{password_file}: empty")
    account = cast("LocalAccount", Account.from_key(secrets.token_bytes(32)))
    content = json.dumps(Account.encrypt(account.key, password)).encode() + b"\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from error
    return str(account.address)


def _secret(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others; chmod 600")
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES).decode("utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: not a text") from None
