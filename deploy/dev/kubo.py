"""A real Kubo of its own: a swarm key nobody else has, no peers, no bootstrap list, no routing, loopback alone."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import requests

from deploy.dev.layout import Layout, Ports, StackError, tool, write_secret
from deploy.dev.process import Child
from proxy.anchor.evidence import AuditorKey, write_keys

SWARM_KEY: Final = "swarm.key"
WAIT_S: Final = 2
"""How long records wait for more before they become evidence."""


def evidence_settings(layout: Layout, ports: Ports, *, with_kubo: bool) -> dict[str, Any]:
    """``[evidence]``, and the keys of the stack's auditor."""
    if not layout.auditor_key.exists():
        write_keys(layout.keys, "auditor", AuditorKey.generate())
    return {
        "directory": layout.evidence.name,
        "auditors": ["keys/auditor.pub"],
        "max_wait_s": WAIT_S,
        **({"store": "kubo", "kubo_url": kubo_url(ports.kubo)} if with_kubo else {}),
    }


def kubo_url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def kubo_child(folder: Path, log: Path, port: int, *, private: bool = True) -> Child:
    """A daemon whose repository is ``folder``; made the first time.

    :param private: without, one that lacks the swarm key and all else that keeps it private, and still finds nobody:
        for tests that want it refused
    :raises StackError: there is no Kubo, or it refuses its repository
    """
    program = str(tool("ipfs"))
    environment = {"IPFS_PATH": str(folder), "LIBP2P_FORCE_PNET": "1" if private else "0", "IPFS_TELEMETRY": "off"}
    if not (folder / "config").exists():
        _initialise(program, folder, port, private)
    return Child(
        name="kubo",
        command=[program, "daemon", "--migrate=false", "--enable-gc=false"],
        log=log,
        healthy=lambda: _serves(kubo_url(port)),
        environment=environment,
    )


def _initialise(program: str, folder: Path, port: int, private: bool) -> None:
    draft = folder.with_name(folder.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    made = subprocess.run(
        [program, "init", "--empty-repo", "--profile=test"],
        env={"IPFS_PATH": str(draft), "HOME": str(draft)},
        capture_output=True,
        timeout=60,
    )
    if made.returncode != 0:
        raise StackError(f"ipfs init failed: {made.stderr.decode('utf-8', 'replace')[-300:]}")
    config: dict[str, Any] = json.loads((draft / "config").read_text())
    config["Bootstrap"] = []
    config["Addresses"].update(API=f"/ip4/127.0.0.1/tcp/{port}", Gateway=[], Swarm=["/ip4/127.0.0.1/tcp/0"])
    config["AutoConf"] = {"Enabled": False}
    config["AutoTLS"] = {"Enabled": False}
    config["Routing"] = {"Type": "none" if private else "dht"}
    config["DNS"] = {"Resolvers": {}}
    config["Ipns"]["DelegatedPublishers"] = []
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Swarm"]["Transports"] = {"Network": {"QUIC": False, "WebTransport": False, "WebRTCDirect": False}}
    (draft / "config").write_text(json.dumps(config, indent=2))
    (draft / "config").chmod(0o600)
    if private:
        write_secret(draft / SWARM_KEY, f"/key/swarm/psk/1.0.0/\n/base16/\n{secrets.token_hex(32)}\n".encode())
    draft.replace(folder)


def _serves(url: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.post(f"{url}/api/v0/version", timeout=5).ok
        except requests.RequestException:
            return False
