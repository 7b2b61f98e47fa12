"""A whole dev stack for tests, with the recording relay between proxy and archive."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from deploy.dev.layout import Ports
from deploy.dev.metrics import total
from deploy.dev.stack import DevStack
from proxy.model import Kind
from proxy.record.reader import current_reader
from tests.simulators.relay import Relay
from tests.workers import proxy_pid

GENEROUS: Mapping[str, Any] = {
    "requests_per_s": 100_000,
    "burst": 200_000,
    "address_requests_per_s": 100_000,
    "address_burst": 200_000,
    "suppression_window_s": 1,
}
"""Limits under which no test is throttled."""


@dataclass(frozen=True, slots=True)
class RelayedStack:
    """A running stack whose proxy reaches its archive through ``relay`` alone."""

    dev: DevStack
    relay: Relay

    def metric(self, name: str, **labels: str) -> int:
        """Sum of the samples of ``dicomward_<name>`` that carry ``labels``."""
        answer = requests.get(f"{self.dev.admin_url}/metrics", timeout=10)
        return total(answer.text, f"dicomward_{name}", **labels)

    def records(self, decision: str, kind: Kind) -> list[dict[str, Any]]:
        """Bodies of the durable records of one decision."""
        reader = current_reader(self.dev.layout.spool)
        try:
            return [json.loads(row.body) for row in reader.find(decision) if row.kind == kind]
        finally:
            reader.close()

    def recorded(self) -> int:
        """Durable records so far."""
        reader = current_reader(self.dev.layout.spool)
        try:
            return reader.count()
        finally:
            reader.close()

    def archived(self, path: str, accept: str = "application/dicom+json") -> requests.Response:
        """What the archive itself answers to a GET below its DICOMweb root."""
        with requests.Session() as session:
            asked = requests.Request(
                "GET", self.dev.archive_url, headers={"Accept": accept}, auth=self.dev.archive_auth
            )
            prepared = session.prepare_request(asked)
            prepared.url = self.dev.archive_url + path  # as it stands: requests would escape it
            return session.send(prepared, timeout=30)

    def memory(self) -> int:
        """Resident bytes of the worker."""
        return psutil.Process(proxy_pid(self.dev)).memory_info().rss


@contextlib.contextmanager
def relayed_stack(
    directory: Path, overrides: Mapping[str, Mapping[str, Any]], ports: Ports | None = None
) -> Iterator[RelayedStack]:
    """Start a stack without the large study. ``overrides``: as for ``DevStack``, which fills the archive directly."""
    ports = ports or Ports.free()
    with Relay(ports.archive) as relay:
        laid_over = {**overrides, "archive": {"url": f"{relay.url}/dicom-web", **overrides.get("archive", {})}}
        with DevStack(directory, ports=ports, overrides=laid_over) as dev:
            yield RelayedStack(dev, relay)
