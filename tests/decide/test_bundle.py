"""Bundles: what ``opa`` signs is taken, what we sign ``opa`` takes, and what a stranger made is refused."""

import base64
import contextlib
import hashlib
import hmac
import io
import json
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from gzip import compress, decompress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.layout import ROOT
from proxy.decide.policies import (
    PolicySet,
    pack,
    read_policies,
    signed_bundle,
    signing_key,
    unpack_verified,
    verification_key,
)
from proxy.decide.policies.archive import MAX_BUNDLE_BYTES, pack_files, unpack_files
from proxy.decide.policies.signing import file_hash
from proxy.errors import ConfigurationError, PolicyInvalidError
from tests.decide.signers import (
    BUILTINS,
    ISSUED,
    SMALL,
    Private,
    archive,
    bundle,
    claims_of,
    contents,
    endless_headers,
    manifest,
    ours,
    ours_rsa,
    private,
    public,
    signatures,
    signed,
    trusted,
)

OPA = ROOT / ".tools/bin/opa"


@pytest.mark.parametrize("key", [ours, ours_rsa])
def test_what_was_signed_comes_back(key: Callable[[], Private]) -> None:
    content = signed_bundle(SMALL, 7, ISSUED, private(key()), "site")
    found = unpack_verified(content, trusted(key()))
    assert (found.serial, found.issued_at) == (7, ISSUED)
    assert found.policies.digest == SMALL.digest
    assert found.policies.data() == SMALL.data()


def test_any_of_the_trusted_keys_may_have_signed() -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    assert unpack_verified(bundle(), trusted(stranger, ours_rsa(), ours())).policies.digest == SMALL.digest


def test_a_folder_and_its_bundle_have_one_digest(folder: Path) -> None:
    policies = read_policies(folder)
    assert unpack_verified(bundle(policies), trusted()).policies.digest == policies.digest


def test_an_unsigned_bundle_has_the_same_bytes_each_time() -> None:
    def packed() -> bytes:
        return pack(
            modules=SMALL.modules(),
            data=SMALL.data(),
            capabilities=BUILTINS,
            digest=SMALL.digest,
            serial=1,
            issued_at=ISSUED,
        )

    first = packed()
    time.sleep(1.1)  # a time stamp of either format would differ
    assert packed() == first
    assert json.loads(unpack_files(first)[".manifest"]) == {
        "revision": SMALL.digest,
        "roots": [""],
        "rego_version": 1,
        "metadata": {"dicomward": {"serial": 1, "issued_at": "2026-11-01T12:00:00.000Z"}},
    }


# ------------------------------------------------------------------------------------------------ the real OPA


@pytest.mark.parametrize(("key", "algorithm"), [(ours, "ES256"), (ours_rsa, "RS256")])
def test_a_real_opa_server_accepts_what_we_sign(tmp_path: Path, key: Callable[[], Private], algorithm: str) -> None:
    policies = PolicySet(files=dict(SMALL.files) | {"data.json": '{"a": ["\u2028\\b\\f<é", 1.5, 0]}'.encode()})
    content = signed_bundle(policies, 7, ISSUED, private(key()), "site")
    assert json.loads(_served(tmp_path, content, key(), algorithm, "data/a")) == {"result": ["\u2028\b\f<é", 1.5, 0]}


def test_a_real_opa_server_refuses_what_was_changed_after_signing(tmp_path: Path) -> None:
    files = unpack_files(bundle()) | {"data.json": b'{"a": 2}'}
    with pytest.raises(AssertionError, match="digest mismatch"):
        _served(tmp_path, pack_files(files), ours(), "ES256", "data/a")


def _served(tmp_path: Path, content: bytes, key: Private, algorithm: str, path: str) -> bytes:
    (tmp_path / "bundle.tar.gz").write_bytes(content)
    (tmp_path / "public.pem").write_bytes(public(key))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path / "log").open("w+")
    command: list[str | Path] = [
        OPA,
        "run",
        "--server",
        "--addr",
        f"127.0.0.1:{port}",
        "--bundle",
        tmp_path / "bundle.tar.gz",
    ]
    verification: list[str | Path] = ["--verification-key", tmp_path / "public.pem", "--verification-key-id", "site"]
    with subprocess.Popen([*command, *verification, "--signing-alg", algorithm], stdout=log, stderr=log) as opa:
        try:
            for _ in range(200):
                with contextlib.suppress(OSError):
                    return bytes(urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/{path}", timeout=5).read())
                if opa.poll() is not None:
                    break
                time.sleep(0.05)
            log.seek(0)
            raise AssertionError(log.read())
        finally:
            opa.kill()
            log.close()


@pytest.mark.parametrize(("key", "algorithm"), [(ours, "ES256"), (ours_rsa, "RS256")])
def test_what_opa_sign_signed_is_accepted(
    folder: Path, tmp_path: Path, key: Callable[[], Private], algorithm: str
) -> None:
    policies = read_policies(folder)
    tree = _tree(tmp_path, policies, manifest(revision="\u2028<\b>", rego_version=1))
    (tree / "data.json").write_text(json.dumps(json.loads(policies.data()), indent=3, ensure_ascii=False))
    (tmp_path / "private.pem").write_bytes(private(key()))
    subprocess.run(
        [OPA, "sign", "--signing-key", tmp_path / "private.pem", "--signing-alg", algorithm, "--bundle", "."],
        cwd=tree,
        check=True,
    )
    subprocess.run(["tar", "-czf", tmp_path / "signed.tar.gz", "."], cwd=tree, check=True)
    found = unpack_verified((tmp_path / "signed.tar.gz").read_bytes(), trusted(key()))
    assert (found.policies.digest, found.serial, found.issued_at) == (policies.digest, 1, ISSUED)


def test_what_opa_build_signed_is_accepted(folder: Path, tmp_path: Path) -> None:
    policies = read_policies(folder)
    told = {"serial": 3, "issued_at": "2026-11-01T12:00:00Z", "builtins": sorted(policies.builtins())}
    tree = _tree(tmp_path, policies, manifest(metadata={"dicomward": told, "ratio": 1.50}))
    found = unpack_verified(_opa_built(tmp_path, tree), trusted())
    assert (found.policies.digest, found.serial) == (policies.digest, 3)


def test_what_opa_build_signed_without_a_list_of_built_ins_is_refused(folder: Path, tmp_path: Path) -> None:
    tree = _tree(tmp_path, read_policies(folder), manifest())
    with pytest.raises(PolicyInvalidError, match=r"no capabilities\.json: add it before you sign; for `opa build`"):
        unpack_verified(_opa_built(tmp_path, tree), trusted())


def _opa_built(tmp_path: Path, tree: Path) -> bytes:
    (tmp_path / "private.pem").write_bytes(private(ours()))
    signing: list[str | Path] = ["--signing-key", tmp_path / "private.pem", "--signing-alg", "ES256"]
    subprocess.run([OPA, "build", *signing, "--bundle", ".", "--output", tmp_path / "b.tar.gz"], cwd=tree, check=True)
    return (tmp_path / "b.tar.gz").read_bytes()


def _tree(tmp_path: Path, policies: PolicySet, told: bytes) -> Path:
    tree = tmp_path / "tree"
    files = {path: text.encode() for path, text in policies.modules()}
    files |= {"data.json": policies.data().encode(), "capabilities.json": policies.capabilities(), ".manifest": told}
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    return tree


# ------------------------------------------------------------------------------------------------ signatures


def refused(content: bytes, match: str) -> None:
    with pytest.raises(PolicyInvalidError, match=match):
        unpack_verified(content, trusted())


def test_a_bundle_that_nobody_signed_is_refused() -> None:
    refused(archive(contents()), "the bundle is not signed")


def test_the_signature_of_another_key_is_refused() -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    files = contents()
    forged = files | {".signatures.json": signatures(claims_of(files), stranger, kid="site")}
    refused(archive(forged), "no key that this site trusts")


def test_a_token_without_a_signature_is_refused() -> None:
    files = contents()
    for algorithm in ("none", "None", "nOnE"):
        head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).rstrip(b"=")
        body = base64.urlsafe_b64encode(json.dumps(claims_of(files)).encode()).rstrip(b"=")
        told = json.dumps({"signatures": [f"{head.decode()}.{body.decode()}."]}).encode()
        refused(archive(files | {".signatures.json": told}), "no key that this site trusts")


@pytest.mark.parametrize("key", [ours, ours_rsa])
def test_an_hmac_by_the_public_key_is_no_signature(key: Callable[[], Private]) -> None:
    files = contents()
    for secret in (public(key()), public(key()).strip()):
        head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
        body = base64.urlsafe_b64encode(json.dumps(claims_of(files)).encode()).rstrip(b"=")
        mac = base64.urlsafe_b64encode(hmac.digest(secret, head + b"." + body, hashlib.sha256)).rstrip(b"=")
        told = json.dumps({"signatures": [b".".join((head, body, mac)).decode()]}).encode()
        with pytest.raises(PolicyInvalidError, match="no key that this site trusts"):
            unpack_verified(archive(files | {".signatures.json": told}), trusted(key()))


def test_an_algorithm_that_is_not_the_keys_is_refused() -> None:
    files = contents()
    forged = files | {".signatures.json": signatures(claims_of(files), ours_rsa(), "RS512")}
    with pytest.raises(PolicyInvalidError, match="no key that this site trusts"):
        unpack_verified(archive(forged), trusted(ours_rsa()))


def test_a_file_that_was_added_changed_or_taken_away_is_refused() -> None:
    files = unpack_files(bundle())
    refused(archive(files | {"y.rego": b"package y\n"}), r"y\.rego: is in the bundle, but not in its signature")
    refused(archive(files | {"x/x.rego": b"package x\n"}), r"x/x\.rego: is not what was signed")
    refused(archive(files | {"data.json": b'{"a": 2}'}), r"data\.json: is not what was signed")
    refused(archive(files | {".manifest": manifest()}), r"\.manifest: is not what was signed")
    refused(archive({path: files[path] for path in files if path != "data.json"}), "but not in the bundle")


def test_a_signature_is_over_values_and_not_white_space_of_json() -> None:
    files = unpack_files(bundle())
    assert unpack_verified(archive(files | {"data.json": b'\n{ "a" :1}'}), trusted()).policies.digest == SMALL.digest
    refused(archive(files | {"data.json": b'{"a": 1.0}'}), "is not what was signed")
    refused(archive(files | {"data.json": b'{"a": 1, "a": 1}'}), "no JSON that could be signed")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"files": None},
        {"files": [1]},
        {"files": [{"name": "data.json"}]},
        {"files": [{"name": "data.json", "hash": "0" * 32, "algorithm": "MD5"}]},
        {"files": [{"name": "data.json", "hash": "0" * 40, "algorithm": "SHA-1"}]},
        {"files": [{"name": "../x", "hash": "0" * 64, "algorithm": "SHA-256"}]},
        {"files": [{"name": "data.json", "hash": "0" * 64, "algorithm": ["SHA-256"]}]},
        {"files": claims_of(contents())["files"] * 2},
        claims_of(contents()) | {"scope": "write"},
    ],
)
def test_a_signature_of_another_form_is_refused(claims: dict[str, Any]) -> None:
    refused(
        archive(contents() | {".signatures.json": signatures(claims)}), r"signatures\.json|not in its signature|path"
    )


@pytest.mark.parametrize(
    "told",
    [
        b"[]",
        b"{",
        b'{"signatures": []}',
        b'{"signatures": [1]}',
        b'{"signatures": ["a.b.c"]}',
        b'{"signatures": ["a.b.\\ud800"]}',
        b"{}",
        b'{"signatures": ["a.b.c"], "plugin": "x"}',
    ],
)
def test_signatures_of_another_form_are_refused(told: bytes) -> None:
    refused(archive(contents() | {".signatures.json": told}), r"\.signatures\.json")


def test_of_two_signatures_none_counts() -> None:
    token = json.loads(signatures(claims_of(contents())))["signatures"][0]
    told = json.dumps({"signatures": [token, token]}).encode()
    refused(archive(contents() | {".signatures.json": told}), "has to hold one signature")
    refused(archive(contents() | {".signatures.json": b" " * (2 << 20)}), "larger than")


# ------------------------------------------------------------------------------------------------ archives


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.BLKTYPE])
def test_what_is_no_plain_file_is_refused(kind: bytes) -> None:
    entry = tarfile.TarInfo("x/link.rego")
    entry.type, entry.linkname = kind, "/etc/passwd"
    refused(archive(unpack_files(bundle()), entry), "is no plain file")


@pytest.mark.parametrize(
    "name",
    ["../x.rego", "a/../../x.rego", "/../x.rego", "//x.rego", "a//x.rego", "a/./x.rego", "a\\x.rego", "a\n.rego"],
)
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    refused(archive(unpack_files(bundle()), tarfile.TarInfo(name)), "is no path within a bundle")


@pytest.mark.parametrize("name", ["data.json", "./data.json", "/data.json"])
def test_a_name_that_stands_twice_is_refused(name: str) -> None:
    refused(archive(unpack_files(bundle()), tarfile.TarInfo(name)), r"data\.json: stands twice")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, b"x", b"g"])
def test_headers_that_announce_headers_without_end_are_refused(kind: bytes) -> None:
    refused(endless_headers(kind), "no tar archive")


def test_a_bomb_is_not_let_out() -> None:
    bomb = compress(bytes(400 << 20), compresslevel=1)
    started = time.process_time()
    refused(bomb, f"more than {MAX_BUNDLE_BYTES} bytes")
    assert time.process_time() - started < 1


def test_a_file_that_claims_to_be_large_by_being_sparse_is_refused() -> None:
    header = tarfile.TarInfo("data.json")
    header.size = 1 << 40
    header.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    packed = header.tobuf(tarfile.PAX_FORMAT) + b"1\n0\n0\n".ljust(512, b"\0") + bytes(1024)
    refused(compress(packed), "no plain file|no tar archive|bytes")


def test_number_and_size_of_files_are_bounded() -> None:
    refused(archive({f"{number}.rego": b"" for number in range(600)}), "more than 512 files")
    refused(archive({"a.rego": bytes(17 << 20)}), "more than")
    refused(archive({f"{number}.rego": bytes(12 << 20) for number in range(3)}), "more than")
    folders = [tarfile.TarInfo(f"{number}/") for number in range(3000)]
    for entry in folders:
        entry.type = tarfile.DIRTYPE
    refused(archive({}, *folders), "entries")


def test_what_is_cut_off_or_followed_by_more_is_refused() -> None:
    content = bundle()
    for cut in (0, 1, 20, len(content) // 2, len(content) - 1):
        refused(content[:cut], "cut off|not compressed")
    refused(content + b"x", "something follows")
    refused(content + content, "something follows")
    refused(b"no gzip at all", "not compressed")
    refused(compress(decompress(content)[:700]), "cut off|no tar archive|not signed")


# ------------------------------------------------------------------------------------------------ contents


_BEFORE_TIME, _AFTER_TIME = "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"
"""Moments that UTC has no name for."""


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({".manifest": manifest(metadata={})}, "no serial and time of issue: its .manifest needs"),
        ({".manifest": manifest(metadata={"dicomward": {"serial": 1}})}, "no serial and time of issue"),
        ({".manifest": manifest(metadata={"dicomward": {"serial": 0, "issued_at": "x"}})}, "no serial"),
        ({".manifest": manifest(metadata={"dicomward": {"serial": True, "issued_at": "x"}})}, "no serial"),
        ({".manifest": manifest(metadata={"dicomward": {"serial": 1, "issued_at": "x"}})}, "RFC 3339"),
        ({".manifest": manifest(metadata={"dicomward": {"serial": 1, "issued_at": "2026-11-01T12:00:00"}})}, "zone"),
        ({".manifest": manifest(metadata={"dicomward": {"serial": 1, "issued_at": _BEFORE_TIME}})}, "RFC 3339"),
        ({".manifest": manifest(metadata={"dicomward": {"serial": 1, "issued_at": _AFTER_TIME}})}, "RFC 3339"),
        ({"data.json": b'{"a": "\\ud800"}'}, "half a surrogate pair"),
        ({".manifest": manifest(wasm=[])}, "members that are not known"),
        ({".manifest": manifest(file_rego_versions={"/x/x.rego": 0})}, "members that are not known"),
        ({".manifest": manifest(roots=["x"])}, "roots have to be"),
        ({".manifest": manifest(rego_version=0)}, "rego_version 1"),
        ({"capabilities.json": b"{}"}, "no list of built-ins"),
        ({"capabilities.json": b'{"builtins": [{"name": "http.send"}]}'}, "policies may never call http.send"),
        ({"policy.wasm": b""}, "and nothing else"),
        ({"patch.json": b"{}"}, "and nothing else"),
        ({"data.yaml": b""}, "and nothing else"),
        ({"x/data.json": b"{}"}, "and nothing else"),
        ({"data/limits.json": b"{}"}, "all data as one data.json"),
        ({"data.json": b"[]"}, "not a JSON object"),
    ],
)
def test_contents_that_another_engine_would_take_differently_are_refused(changes: dict[str, bytes], match: str) -> None:
    refused(signed(contents() | changes), match)


def test_a_bundle_without_manifest_capabilities_or_policies_is_refused() -> None:
    for missing, match in ((".manifest", "no manifest"), ("capabilities.json", "no cap"), ("x/x.rego", "no policy")):
        refused(signed({path: content for path, content in contents().items() if path != missing}), match)


def test_built_ins_cannot_be_widened_by_the_manifest() -> None:
    told = {"serial": 1, "issued_at": "2026-11-01T12:00:00Z", "builtins": ["count", "opa.runtime"]}
    files = contents() | {".manifest": manifest(metadata={"dicomward": told})}
    refused(signed({path: files[path] for path in files if path != "capabilities.json"}), "may never call opa.runtime")
    told["builtins"] = [{"a": 1}]
    files[".manifest"] = manifest(metadata={"dicomward": told})
    refused(signed({path: files[path] for path in files if path != "capabilities.json"}), "has no capabilities.json")


def test_tests_beside_the_rules_do_not_count() -> None:
    found = unpack_verified(signed(contents() | {"x/x_test.rego": b"package x_test\n"}), trusted())
    assert found.policies.digest == SMALL.digest


def test_time_of_issue_may_be_of_any_zone() -> None:
    told = manifest(metadata={"dicomward": {"serial": 1, "issued_at": "2026-11-01T14:00:00+02:00"}})
    assert unpack_verified(signed(contents() | {".manifest": told}), trusted()).issued_at == ISSUED


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"no key",
        public(ed25519.Ed25519PrivateKey.generate()),
        public(ec.generate_private_key(ec.SECP384R1())),
        public(rsa.generate_private_key(65537, 1024)),
        private(ours()),
    ],
)
def test_a_key_that_nothing_can_be_verified_by_is_refused(pem: bytes) -> None:
    with pytest.raises(ConfigurationError):
        verification_key(pem)


@pytest.mark.parametrize("pem", [b"", public(ours()), private(ed25519.Ed25519PrivateKey.generate())])
def test_a_key_that_nothing_can_be_signed_by_is_refused(pem: bytes) -> None:
    with pytest.raises(ConfigurationError):
        signing_key(pem, "site")


# ------------------------------------------------------------------------------------------------ properties

_NAMES = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8}){0,2}\.rego", fullmatch=True)


@given(st.dictionaries(_NAMES, st.binary(max_size=300), max_size=6))
def test_files_come_out_as_they_went_in(files: dict[str, bytes]) -> None:
    assert unpack_files(pack_files(files)) == files


@given(st.binary(max_size=600))
def test_any_bytes_are_refused_in_order(content: bytes) -> None:
    for offered in (content, compress(content), compress(io.BytesIO(content).read().ljust(1536, b"\0"))):
        with pytest.raises(PolicyInvalidError):
            unpack_verified(offered, trusted())


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_bundle_with_a_byte_changed_is_the_same_or_refused(place: int, change: int) -> None:
    content = bytearray(decompress(_WHOLE))
    content[place % len(content)] ^= change
    with contextlib.suppress(PolicyInvalidError):
        found = unpack_verified(compress(bytes(content), compresslevel=1), trusted())
        assert (found.policies.digest, found.serial, found.issued_at) == (SMALL.digest, 1, ISSUED)


_WHOLE = bundle()


def test_numbers_are_hashed_as_written() -> None:
    assert file_hash("data.json", b'{"a": 1.50}', "SHA-256") == hashlib.sha256(b'{"a":1.50}').hexdigest()
    assert file_hash("data.json", b'{"b": -0, "a": [{}, [], null, true, false]}', "SHA-512") == (
        hashlib.sha512(b'{"a":[{},[],null,true,false],"b":-0}').hexdigest()
    )
    assert file_hash("x.json", b'{"a": 1}', "SHA-256") == hashlib.sha256(b'{"a": 1}').hexdigest()


def test_issue_times_keep_milliseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC) + timedelta(days=1)
    assert unpack_verified(bundle(issued_at=moment), trusted()).issued_at == moment
