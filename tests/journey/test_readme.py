"""The commands of the README, as they stand there, against a running stack."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from deploy.dev.layout import ROOT
from deploy.dev.stack import DevStack, dicomward

BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def _commands() -> list[str]:
    text = (ROOT / "README.md").read_text("utf-8")
    lines = "".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [line.split("#")[0].strip() for line in lines if line.strip()]


def _run(command: str, stack: DevStack, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = command.replace(".dev", str(stack.layout.directory)).replace("https://127.0.0.1:8443", stack.url)
    words = shlex.split(command)
    if words[0] == ".venv/bin/dicomward":
        words[:1] = dicomward()
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, cwd=cwd)


def test_make_targets_of_the_readme_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", Path(ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = [command.split()[1] for command in _commands() if command.startswith("make ")]
    assert named == ["demo", "test", "up"]
    assert set(named) <= set(targets)


def test_search_and_explanation_of_the_readme_work(stack: DevStack) -> None:
    search, explain, *_ = [command for command in _commands() if not command.startswith("make ")]
    found = _run(search + " --silent --show-error --include", stack)
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("HTTP/1.1 200")
    decision = re.search(r"^Decision-Id: ([0-9a-f]{32})", found.stdout, re.MULTILINE)
    assert decision is not None
    told = _run(explain.replace("<Decision-Id of the answer>", decision[1]), stack)
    assert told.returncode == 0, told.stderr
    assert decision[1] in told.stdout
    assert "radiologist" in told.stdout


def test_posture_commands_of_the_readme_work(stack: DevStack, tmp_path: Path) -> None:
    search, _, collect, write, report, *_ = [command for command in _commands() if not command.startswith("make ")]
    assert _run(collect, stack).returncode == 0
    subprocess.run(write, shell=True, cwd=tmp_path, check=True)
    told = _run(report, stack, cwd=tmp_path)
    assert (told.returncode, "accepted" in told.stdout) == (0, True), told.stderr
    denied = _run(search + " --silent", stack)
    assert "posture-firewall-off" in denied.stdout


def test_policy_commands_of_the_readme_work(stack: DevStack) -> None:
    tried, checked, replayed = [command for command in _commands() if " policy " in command]
    told = _run(tried, stack, cwd=ROOT)
    assert (told.returncode, told.stdout.startswith("allow")) == (0, True), told.stdout + told.stderr
    assert _run(checked, stack, cwd=ROOT).returncode == 0
    again = _run(replayed, stack, cwd=ROOT)
    assert (again.returncode, "allow" in again.stdout) == (0, True), again.stdout + again.stderr
