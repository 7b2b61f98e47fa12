import os
from pathlib import Path

import pytest

from proxy.decide import PolicySet, read_policies
from proxy.decide.policies import MAX_FILE_BYTES, MAX_FILES
from proxy.errors import PolicyInvalidError


def test_what_counts_is_read_and_the_rest_is_not(folder: Path) -> None:
    before = read_policies(folder)
    (folder / "README.md").write_text("x")
    (folder / "dicomweb/posture/.posture.rego.swp").write_text("x")
    (folder / "dicomweb/posture/posture.rego~").write_text("x")
    (folder / "dicomweb/posture/more_test.rego").write_text("x")
    assert read_policies(folder).digest == before.digest
    assert "dicomweb/authz/authz.rego" in before.files


def test_digest_changes_with_content_and_with_names(folder: Path) -> None:
    before = read_policies(folder).digest
    limits = folder / "data/limits.json"
    limits.write_text(limits.read_text().replace("30", "31"))
    edited = read_policies(folder).digest
    limits.rename(folder / "data/bounds.json")
    assert len({before, edited, read_policies(folder).digest}) == 3


def test_digest_tells_where_one_file_ends() -> None:
    assert PolicySet(files={"a": b"bc"}).digest != PolicySet(files={"ab": b"c"}).digest
    assert PolicySet(files={"a": b"", "b": b""}).digest != PolicySet(files={"a": b"b"}).digest


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


@pytest.mark.parametrize("content", ["[]", "{", '{"limits": {}}', '{"dicomweb": {}}', '{"x": NaN}'])
def test_data_that_is_no_object_or_defined_twice_is_refused(folder: Path, content: str) -> None:
    (folder / "data/more.json").write_text(content)
    with pytest.raises(PolicyInvalidError, match=r"more\.json"):
        read_policies(folder).data()
