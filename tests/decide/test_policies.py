import contextlib
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.decide import PolicySet, read_policies
from proxy.decide.policies import CAPABILITIES, MAX_FILE_BYTES, MAX_FILES, read_files
from proxy.decide.policies.folder import MAX_DEPTH
from proxy.decide.policies.permitted import PERMITTED
from proxy.decide.policies.plain_json import parse_object
from proxy.errors import PolicyInvalidError
from proxy.model import MAX_INTEGER


def test_what_counts_is_read_and_the_rest_is_not(folder: Path) -> None:
    before = read_policies(folder)
    (folder / "README.md").write_text("x")
    (folder / "dicomweb/posture/.posture.rego.swp").write_text("x")
    (folder / "dicomweb/posture/posture.rego~").write_text("x")
    (folder / "dicomweb/posture/more_test.rego").write_text("x")
    assert read_policies(folder).digest == before.digest
    assert "dicomweb/authz/authz.rego" in before.files


def test_digest_changes_with_content_and_with_names_of_modules(folder: Path) -> None:
    before = read_policies(folder).digest
    limits = folder / "data/limits.json"
    limits.write_text(json.dumps(json.loads(limits.read_text()) | {"more": 1}))
    edited = read_policies(folder).digest
    (folder / "lib/subject.rego").rename(folder / "lib/other.rego")
    assert len({before, edited, read_policies(folder).digest}) == 3


def test_digest_is_of_what_policies_mean_and_not_of_how_they_are_carried(folder: Path) -> None:
    before = read_policies(folder)
    limits = folder / "data/limits.json"
    limits.write_text(json.dumps(json.loads(limits.read_text()), indent=7))
    limits.rename(folder / "data/bounds.json")
    capabilities = json.loads((folder / CAPABILITIES).read_text())
    capabilities["builtins"].reverse()
    (folder / CAPABILITIES).write_text(json.dumps(capabilities))
    assert read_policies(folder).digest == before.digest
    modules = {path: text.encode() for path, text in before.modules()}
    as_one = {"data.json": before.data().encode(), CAPABILITIES: before.capabilities()}
    assert PolicySet(files=modules | as_one).digest == before.digest


def test_digest_tells_where_one_file_ends() -> None:
    def digest(**modules: str) -> str:
        files = {f"{name}.rego": text.encode() for name, text in modules.items()}
        return PolicySet(files=files | {CAPABILITIES: b'{"builtins": []}'}).digest

    assert digest(a="bc") != digest(ab="c")
    assert digest(a="", b="") != digest(a="b")
    assert (
        digest(a='b{"x": 1}')
        != PolicySet(files={"a.rego": b"b", "data.json": b'{"x": 1}', CAPABILITIES: b'{"builtins": []}'}).digest
    )


def test_digest_changes_with_the_built_ins(folder: Path) -> None:
    before = read_policies(folder).digest
    capabilities = json.loads((folder / CAPABILITIES).read_text())
    capabilities["builtins"] = [each for each in capabilities["builtins"] if each["name"] != "upper"]
    (folder / CAPABILITIES).write_text(json.dumps(capabilities))
    assert read_policies(folder).digest != before


def test_the_shipped_list_of_built_ins_is_the_longest_there_may_be(folder: Path) -> None:
    assert read_policies(folder).builtins() == PERMITTED


@pytest.mark.parametrize("name", ["http.send", "time.now_ns", "rand.intn", "opa.runtime", "uuid.rfc4122", "trace"])
def test_the_list_of_built_ins_cannot_be_widened(folder: Path, name: str) -> None:
    capabilities = json.loads((folder / CAPABILITIES).read_text())
    capabilities["builtins"].append({"name": name})
    (folder / CAPABILITIES).write_text(json.dumps(capabilities))
    with pytest.raises(PolicyInvalidError, match=f"may never call {name}"):
        read_policies(folder)


@pytest.mark.parametrize("path", ["dicomweb/link", "data/link.json", "dicomweb/posture/link.rego"])
def test_a_symbolic_link_is_refused(folder: Path, path: str) -> None:
    (folder / path).symlink_to("/etc")
    with pytest.raises(PolicyInvalidError, match="symbolic link"):
        read_policies(folder)


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(folder)
    assert read_policies(tmp_path / "current").digest == read_policies(folder).digest


def test_a_pipe_is_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "data/pipe.json")
    with pytest.raises(PolicyInvalidError, match="not a regular file"):
        read_policies(folder)


def test_sizes_are_bounded(folder: Path) -> None:
    (folder / "data/huge.json").write_bytes(b" " * (MAX_FILE_BYTES + 1))
    with pytest.raises(PolicyInvalidError, match="huge"):
        read_policies(folder)
    (folder / "data/huge.json").unlink()
    for number in range(MAX_FILES):
        (folder / f"lib/{number}.rego").touch()
    with pytest.raises(PolicyInvalidError, match="more than"):
        read_policies(folder)


def test_50_mb_are_refused_and_not_read_whole(folder: Path) -> None:
    with (folder / "data/huge.json").open("wb") as file:
        file.truncate(50 << 20)
    tracemalloc.start()
    with pytest.raises(PolicyInvalidError, match=r"data/huge\.json: is larger"):
        read_policies(folder)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * MAX_FILE_BYTES


def test_many_files_below_the_bound_of_one_are_refused_together(folder: Path) -> None:
    for number in range(3):
        (folder / f"data/big{number}.json").write_bytes(b" " * (15 << 20))
    with pytest.raises(PolicyInvalidError, match="bytes"):
        read_policies(folder)


def test_ten_thousand_consents_fit(folder: Path) -> None:
    consents = {f"P{number:05}": "x" * 400 for number in range(10_000)}
    (folder / "data/more_consents.json").write_text(json.dumps({"more_consents": consents}))
    assert json.loads(read_policies(folder).data())["more_consents"] == consents


def test_data_that_another_engine_would_read_differently_is_refused(folder: Path) -> None:
    (folder / "data/limits.yaml").write_text("limits: {}")
    with pytest.raises(PolicyInvalidError, match=r"limits\.yaml"):
        read_policies(folder)
    (folder / "data/limits.yaml").unlink()
    (folder / "data/more").mkdir()
    with pytest.raises(PolicyInvalidError, match="no folders"):
        read_policies(folder)


def test_a_folder_without_policies_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(PolicyInvalidError):
            read_policies(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"{",
        b"",
        b'{"limits": {}}',
        b'{"dicomweb": {}}',
        b'{"x": NaN}',
        b'{"x": -Infinity}',
        b'{"x": 1e999}',
        b'{"x": 9007199254740992}',
        b'{"x": 1, "x": 2}',
        b'{"x": {"y": [{"z": 1, "z": 1}]}}',
        b'{"x": "\\ud800"}',
        b'\xef\xbb\xbf{"x": 1}',
        b'{"x": "\xff"}',
        '{"x": 1}'.encode("utf-16"),
        b'{"x": ' + b"[" * 200_000,
    ],
)
def test_data_that_engines_could_read_differently_is_refused(folder: Path, content: bytes) -> None:
    (folder / "data/more.json").write_bytes(content)
    with pytest.raises(PolicyInvalidError, match=r"more\.json|^data: "):
        read_policies(folder)


def test_a_name_that_is_no_text_is_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/lib/\xff.rego")).write_text("package x\n")
    with pytest.raises(PolicyInvalidError, match="no plain path"):
        read_policies(folder)


@pytest.mark.parametrize("name", ["a\\b.rego", "a\nb.rego", "a\u00a0b.rego", "\u202eb.rego"])
def test_a_name_by_which_a_kept_set_could_not_be_read_is_refused(folder: Path, name: str) -> None:
    """Else its decisions could not be made again."""
    (folder / "lib" / name).write_text("package x\n")
    with pytest.raises(PolicyInvalidError, match="no plain path"):
        read_policies(folder)


@pytest.mark.parametrize("name", ["../x.rego", "/x.rego", "a//x.rego", "./x.rego", "a/../x.rego", ".."])
def test_a_set_holds_no_name_that_leads_elsewhere(name: str) -> None:
    with pytest.raises(PolicyInvalidError, match="no plain path"):
        PolicySet(files={name: b"package x\n", CAPABILITIES: b'{"builtins": []}'})


def test_folders_without_end_are_refused(folder: Path) -> None:
    deep = folder / "lib"
    for _ in range(MAX_DEPTH):
        deep /= "a"
        deep.mkdir()
    with pytest.raises(PolicyInvalidError, match="deep"):
        read_policies(folder)


def test_a_link_that_is_swapped_meanwhile_gives_one_of_both_sets(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, current = tmp_path / "other", tmp_path / "current"
    shutil.copytree(folder, other)
    (other / "data/limits.json").write_text("{}")
    current.symlink_to(folder)
    expected = read_files(folder)

    def swap(path: Path, flags: int) -> int:
        if path.name == CAPABILITIES:
            current.unlink()
            current.symlink_to(other)
        return opened(path, flags)

    opened = os.open
    monkeypatch.setattr("proxy.decide.policies.folder.os.open", swap)
    assert read_files(current) == expected
    assert current.readlink() == other


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), _JSON))
def test_what_is_plain_json_is_read_as_it_is(value: dict[str, object]) -> None:
    assert parse_object("x", json.dumps(value).encode()) == value
    assert parse_object("x", json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_refused(content: bytes) -> None:
    with contextlib.suppress(PolicyInvalidError):
        assert isinstance(parse_object("x", content), dict)
