"""Prometheus' own tool reads what the admin port says."""

from __future__ import annotations

import subprocess

import requests

from deploy.dev.layout import tool
from deploy.dev.stack import DevStack


def test_metrics_are_what_prometheus_expects(stack: DevStack) -> None:
    url = f"{stack.url}/dicom-web/studies?limit=1"
    for who in ("radiologist", "stale"):
        requests.get(url, cert=stack.client(who), verify=stack.ca, timeout=30)
    text = requests.get(f"{stack.admin_url}/metrics", timeout=10).text
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (
        "requests",
        "decisions",
        "records",
        "room_seconds",
        "spool_records",
        "anchor_lag_records",
        "handshakes",
    ):
        assert f"dicomward_{name}" in text
    assert "NH-" not in text, "no patient in metrics"
