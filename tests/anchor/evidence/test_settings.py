from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from proxy.anchor.evidence import FolderStore, KuboStore, open_store
from proxy.config.evidence import Evidence
from proxy.errors import EvidenceError

GOOD: dict[str, Any] = {"directory": "evidence", "auditors": ["auditor.pub"]}
KUBO: dict[str, Any] = {**GOOD, "store": "kubo", "kubo_url": "http://127.0.0.1:5001"}


def section(said: dict[str, Any], base: Path = Path("/site")) -> Evidence:
    return Evidence.model_validate(said, context={"base": base})


def test_paths_are_relative_to_the_file_and_the_folder_is_the_default() -> None:
    made = section(GOOD)
    assert (made.directory, made.auditors) == (Path("/site/evidence"), (Path("/site/auditor.pub"),))
    assert (made.store, made.max_records, made.max_wait_s, made.public_swarm) == ("folder", 4096, 60, False)


@pytest.mark.parametrize(
    "change",
    [
        {"auditors": []},
        {"store": "ipfs"},
        {"store": "kubo", "kubo_url": None},
        {"store": "folder"},
        {"kubo_url": "127.0.0.1:5001"},
        {"kubo_url": "ftp://127.0.0.1:5001"},
        {"kubo_url": "http://127.0.0.1"},
        {"kubo_url": "http://user:secret@127.0.0.1:5001"},
        {"kubo_url": "http://127.0.0.1:5001/api/v0"},
        {"kubo_url": "http://127.0.0.1:5001?x"},
        {"kubo_url": "http://127.0.0.1:70000"},
        {"max_records": 0},
        {"max_records": 65_537},
        {"max_wait_s": 0},
        {"timeout_s": -1},
        {"unknown": 1},
    ],
    ids=str,
)
def test_section_that_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        section({**KUBO, **change})


def test_store_is_the_one_that_is_configured(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError):
        open_store(section(GOOD, tmp_path), prepare=False)
    assert not (tmp_path / "evidence").exists()
    assert isinstance(open_store(section(GOOD, tmp_path)), FolderStore)
    assert isinstance(open_store(section(GOOD, tmp_path), prepare=False), FolderStore)
    assert isinstance(open_store(section(KUBO, tmp_path)), KuboStore)
