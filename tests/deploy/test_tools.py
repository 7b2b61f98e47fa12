"""The bootstrap: its locks pin by hash, and what only tests need is there or its absence is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from deploy.dev.layout import ROOT, TOOLS


def require(name: str) -> str:
    path = TOOLS / "bin" / name
    if not path.exists():
        if os.environ.get("CI") == "true" and shutil.which("go"):
            pytest.fail(f"{name} is not there, and Go could have built it: deploy/tools.sh")
        pytest.skip(f"{name} is not there: deploy/tools.sh obtains it where Go is")
    return str(path)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [("opa", ["version"], "Version: 1."), ("ipfs", ["--version"], "ipfs version 0.")],
)
def test_part_that_only_tests_need_is_the_real_one(name: str, arguments: list[str], expected: str) -> None:
    done = subprocess.run([require(name), *arguments], capture_output=True, text=True, timeout=60, check=True)
    assert expected in done.stdout


def test_anvil_is_locked_by_integrity_and_by_no_address() -> None:
    lock = json.loads((ROOT / "deploy/tools/anvil/package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


@pytest.mark.parametrize("module", ["opa", "kubo"])
def test_wrapper_module_needs_nothing_that_its_sum_file_lacks(module: str) -> None:
    if not shutil.which("go"):
        pytest.skip("there is no Go here")
    listed = subprocess.run(
        ["go", "list", "-mod=readonly", "-m", "-f", "{{.Path}}"],
        cwd=ROOT / "deploy/tools" / module,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert listed.stdout.strip() == f"dicomward.invalid/tools/{module}"


@pytest.mark.parametrize("script", ["deploy/setup.sh", "deploy/tools.sh", "deploy/lib.sh", ".ci/run"])
def test_script_is_well_formed(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / script)], check=True, timeout=20)


def test_unknown_part_is_named() -> None:
    done = subprocess.run(
        [str(ROOT / "deploy/tools.sh"), "nonsense"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "nonsense" in done.stderr
