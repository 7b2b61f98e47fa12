"""Real sockets: files of the server's TLS change under connections that are open."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from deploy.dev.pki import DevPki, Issued, issue_certificate, make_authority
from proxy.arrive import Handshakes, Limits, Listener, ServerTls
from proxy.errors import ConfigurationError
from tests.arrive.test_arrive import Door

REQUEST = b"GET /dicom-web/studies HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def pki(tmp_path: Path) -> DevPki:
    made = DevPki(tmp_path)
    made.prepare()
    return made


@pytest.fixture
async def door(pki: DevPki) -> AsyncIterator[Door]:
    async with Door(pki, head_s=30) as made:
        yield made


@asynccontextmanager
async def listening(door: Door, tls: ServerTls) -> AsyncIterator[int]:
    """The walk of a door behind another TLS."""
    limits = Limits(connections=5, connections_per_address=5, handshake_s=5, head_s=5, line_bytes=2000, headers=20)
    listener = Listener(door.handler, limits, tls)
    await listener.start("127.0.0.1", 0)
    try:
        yield listener.port
    finally:
        await listener.stop(1)


def renew(pki: DevPki, days: int = 10) -> Issued:
    now = datetime.now(UTC)
    return issue_certificate(
        pki.authority,
        "localhost",
        not_before=now - timedelta(minutes=1),
        not_after=now + timedelta(days=days),
        purposes=(ExtendedKeyUsageOID.SERVER_AUTH,),
        names=(x509.DNSName("localhost"),),
    )


class Client:
    """A connection that is kept alive."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, door: Door, pem: Path | None = None) -> Client:
        folder = door.pki.directory
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        context.load_cert_chain(pem or folder / "radiologist.pem")
        return cls(*await asyncio.open_connection("127.0.0.1", door.port, ssl=context, server_hostname="localhost"))

    @property
    def serial(self) -> int:
        der = self.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der).serial_number

    async def ask(self) -> bytes:
        self.writer.write(REQUEST)
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readexactly(2)
        return head.split(b"\r\n")[0]


async def test_open_connection_survives_a_reload_and_a_new_one_sees_the_new_certificate(
    door: Door, pki: DevPki
) -> None:
    old = pki.issued("server").certificate.serial_number
    kept = await Client.connect(door)
    assert (kept.serial, await kept.ask()) == (old, b"HTTP/1.1 200 OK")
    renewed = renew(pki)
    renewed.write(pki.directory, "server")
    assert door.tls.reload() is True
    assert await kept.ask() == b"HTTP/1.1 200 OK"
    fresh = await Client.connect(door)
    assert (fresh.serial, await fresh.ask()) == (renewed.certificate.serial_number, b"HTTP/1.1 200 OK")
    assert kept.serial == old
    assert door.tls.expires == renewed.certificate.not_valid_after_utc
    assert (door.tls.generation, door.tls.failed) == (2, False)
    for each in (kept, fresh):
        each.writer.close()


def encrypted(pki: DevPki) -> bytes:
    secret = serialization.BestAvailableEncryption(b"secret")
    key = pki.issued("server").key
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)


SPOILED: dict[str, Callable[[DevPki], None]] = {
    "key-of-another": lambda pki: (pki.directory / "server.key").write_bytes(pki.issued("revoked").key_pem()),
    "key-encrypted": lambda pki: (pki.directory / "server.key").write_bytes(encrypted(pki)),
    "key-gone": lambda pki: (pki.directory / "server.key").unlink(),
    "certificate-junk": lambda pki: (pki.directory / "server.crt").write_bytes(b"junk"),
    "certificate-gone": lambda pki: (pki.directory / "server.crt").unlink(),
    "authority-junk": lambda pki: (pki.directory / "ca.crt").write_bytes(b"junk"),
}


@pytest.mark.parametrize("spoil", SPOILED)
async def test_what_cannot_be_used_leaves_the_old_in_force(
    door: Door, pki: DevPki, tmp_path_factory: pytest.TempPathFactory, spoil: str, caplog: pytest.LogCaptureFixture
) -> None:
    whole = tmp_path_factory.mktemp("whole")
    shutil.copytree(pki.directory, whole, dirs_exist_ok=True)
    old, ends = pki.issued("server").certificate.serial_number, door.tls.expires
    SPOILED[spoil](pki)
    assert door.tls.reload() is False
    assert door.tls.reload() is False
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1
    assert (door.tls.failed, door.tls.generation, door.tls.expires) == (True, 1, ends)
    for name in ("server.crt", "server.key", "ca.crt"):
        shutil.copy(whole / name, pki.directory / name)
    # The same files again are others on the disk: taken as they come.
    context = door.tls.context
    client = await Client.connect(door)
    assert client.serial == old
    client.writer.close()
    assert door.tls.reload() is True
    assert door.tls.context is not context
    assert not door.tls.failed


async def test_certificate_that_comes_before_its_key_waits_for_it(door: Door, pki: DevPki) -> None:
    renewed = renew(pki)
    (pki.directory / "server.crt").write_bytes(renewed.certificate_pem())
    assert door.tls.reload() is False
    assert door.tls.failed
    (pki.directory / "server.key").write_bytes(renewed.key_pem())
    assert door.tls.reload() is True
    client = await Client.connect(door)
    assert client.serial == renewed.certificate.serial_number
    client.writer.close()


async def test_nothing_changes_where_no_file_does(door: Door) -> None:
    context = door.tls.context
    assert door.tls.reload() is False
    assert door.tls.context is context
    assert door.tls.generation == 1


async def test_watch_takes_up_files(door: Door, pki: DevPki) -> None:
    watching = asyncio.create_task(door.tls.watch(0.01))
    renewed = renew(pki)
    renewed.write(pki.directory, "server")
    for _ in range(200):
        await asyncio.sleep(0.01)
        if door.tls.expires == renewed.certificate.not_valid_after_utc:
            break
    client = await Client.connect(door)
    assert client.serial == renewed.certificate.serial_number
    client.writer.close()
    watching.cancel()


async def test_device_of_an_intermediate_comes_in_though_it_sends_its_leaf_alone(
    pki: DevPki, door: Door, tmp_path: Path
) -> None:
    middle = make_authority("middle", parent=pki.authority)
    other = make_authority("other")
    for name, authority in (("middle", middle), ("other", other)):
        (tmp_path / f"{name}.crt").write_bytes(authority.certificate_pem())
    now = datetime.now(UTC)
    below = issue_certificate(middle, "below", not_before=now - timedelta(minutes=1))
    below.write(tmp_path, "below")
    folder, handshakes = pki.directory, Handshakes()
    made = ServerTls(
        folder / "server.crt", folder / "server.key", [folder / "ca.crt", tmp_path / "middle.crt"], handshakes
    )
    async with listening(door, made) as port:
        door.port = port
        client = await Client.connect(door, tmp_path / "below.pem")
        assert await client.ask() == b"HTTP/1.1 200 OK"
        client.writer.close()
    # An intermediate alone is no anchor: without the root above it, it lets nobody in.
    alone = ServerTls(folder / "server.crt", folder / "server.key", [tmp_path / "middle.crt"], handshakes)
    async with listening(door, alone) as port:
        door.port = port
        client = await Client.connect(door, tmp_path / "below.pem")
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await client.ask()
        client.writer.transport.abort()
    assert handshakes.failed["untrusted"] == 1


def test_start_with_a_key_that_does_not_match_is_refused(pki: DevPki) -> None:
    folder = pki.directory
    with pytest.raises(ConfigurationError):
        ServerTls(folder / "server.crt", folder / "revoked.key", [folder / "ca.crt"], Handshakes())


async def test_copy_of_the_same_size_that_brings_its_time_along_is_seen(door: Door, pki: DevPki) -> None:
    path = pki.directory / "server.crt"
    before = path.stat()
    await asyncio.sleep(0.05)  # more than the grain of a file system's clock
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_ino, after.st_mtime_ns) == (before.st_size, before.st_ino, before.st_mtime_ns)
    assert door.tls.reload() is False
    assert door.tls.failed
