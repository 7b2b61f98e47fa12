"""Evidence on IPFS: content in a Kubo daemon, pinned there; keys in a folder of the site, which never go to IPFS."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from proxy.anchor.evidence.cid import cid_of, is_cid
from proxy.anchor.evidence.folder import Erasure, FolderStore
from proxy.anchor.evidence.kubo_client import KuboClient
from proxy.errors import EvidenceError, EvidenceFault


class KuboStore:
    """:class:`EvidenceStore` over one daemon of the site's own. What it says is believed of nothing but its own state:
    content is hashed here, and named by us.

    Calls wait for the daemon: they are made in a thread of their own.
    """

    def __init__(self, keys: FolderStore, client: KuboClient, *, public_swarm: bool = False) -> None:
        """
        :param keys: for envelopes, and for the notes of what was erased
        :param public_swarm: store also where the daemon may be part of a public network
        """
        self._keys = keys
        self._client = client
        self._public_swarm = public_swarm

    def put(self, cid: str, content: bytes, envelope: bytes) -> None:
        if not self._public_swarm:
            self._refuse_public()
        self._keys.put_envelope(cid, envelope)
        said = self._client.add(content)
        if said != cid:
            if is_cid(said):
                with suppress(EvidenceError):
                    self._client.unpin(said)
            raise EvidenceError(EvidenceFault.ALTERED, f"Kubo names {cid} otherwise")
        if not self._client.pinned(cid):
            raise EvidenceError(EvidenceFault.STORE, f"Kubo took {cid} and did not pin it")
        self.content(cid)

    def content(self, cid: str) -> bytes:
        if not is_cid(cid):
            raise EvidenceError(EvidenceFault.ABSENT, "what was published is no identifier of this form")
        erased = self._keys.erased(cid)
        if erased is not None:
            raise EvidenceError(EvidenceFault.ERASED, f"erased at {erased.time}: {erased.reason}")
        content = self._client.cat(cid)
        if cid_of(content) != cid:
            raise EvidenceError(EvidenceFault.ALTERED, f"the content of {cid} is not what was published")
        return content

    def envelope(self, cid: str) -> bytes:
        return self._keys.envelope(cid)

    def replace_envelope(self, cid: str, envelope: bytes) -> None:
        self._keys.replace_envelope(cid, envelope)

    def cids(self) -> list[str]:
        return self._keys.cids()

    def erased(self, cid: str) -> Erasure | None:
        return self._keys.erased(cid)

    def erasures(self) -> list[str]:
        return self._keys.erasures()

    def erase(self, cid: str, reason: str, now: datetime) -> None:
        # Keys first: without them nobody opens a copy that Kubo still has, or that was made of it.
        self._keys.erase(cid, reason, now)
        self._client.unpin(cid)
        self._client.collect()
        try:
            self._client.cat(cid)
        except EvidenceError as error:
            if error.fault is EvidenceFault.ABSENT:
                return
            raise
        raise EvidenceError(EvidenceFault.STORE, f"the keys of {cid} are destroyed, and Kubo still has its content")

    def remove(self, cid: str) -> None:
        self._keys.remove(cid)
        self._client.unpin(cid)

    def _refuse_public(self) -> None:
        found = public_signs(self._client.config())
        if not found and self._client.peers():
            found = "it has peers"
        if found:
            raise EvidenceError(
                EvidenceFault.STORE, f"Kubo may be part of a public network ({found}), and public_swarm is not set"
            )


def public_signs(config: Mapping[str, Any]) -> str:
    """Why a daemon with this configuration is not private, or nothing.

    Whether a swarm key is in force cannot be asked of it. With these settings it finds nobody, key or no key.
    """
    try:
        signs = {
            "Bootstrap is not empty": bool(config["Bootstrap"]),
            "Routing.Type is not none": config["Routing"]["Type"] != "none",
            "Peering.Peers is not empty": bool(config["Peering"]["Peers"]),
            "Discovery.MDNS is on": config["Discovery"]["MDNS"]["Enabled"] is not False,
            "Pinning.RemoteServices is not empty": bool(config["Pinning"]["RemoteServices"]),
            "AutoConf is on": config.get("AutoConf", {}).get("Enabled") is not False,
        }
    except (KeyError, TypeError, AttributeError):
        return "its configuration cannot be read"
    return ", ".join(sign for sign, there in signs.items() if there)
