"""Orthanc with its DICOMweb plugin, on loopback, behind a password that only the proxy has."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Final

import requests

from deploy.dev.layout import TOOLS, Layout, Ports, StackError, tool, write_secret
from deploy.dev.process import Child

USER: Final = "dicomward"


def credentials(layout: Layout) -> tuple[str, str]:
    """User name and password of this stack's archive, made up the first time."""
    if not layout.credentials.exists():
        made = {"username": USER, "password": secrets.token_urlsafe(24)}
        write_secret(layout.credentials, json.dumps(made).encode())
    content = json.loads(layout.credentials.read_text())
    return content["username"], content["password"]


def archive_url(ports: Ports) -> str:
    return f"http://127.0.0.1:{ports.archive}/dicom-web"


def orthanc_settings(layout: Layout, ports: Ports, plugin: Path) -> dict[str, object]:
    """Orthanc's configuration. DIMSE is off: what the proxy does not see must not be served."""
    username, password = credentials(layout)
    storage = str((layout.directory / "orthanc").resolve())
    return {
        "Name": "Dicomward dev archive",
        "StorageDirectory": storage,
        "IndexDirectory": storage,
        "StorageCompression": False,
        "HttpServerEnabled": True,
        "HttpPort": ports.archive,
        "RemoteAccessAllowed": False,
        "HttpThreadsCount": 50,
        "KeepAlive": True,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {username: password},
        "DicomServerEnabled": False,
        "DicomModalities": {},
        "OrthancPeers": {},
        "SaveJobs": False,
        "Plugins": [str(plugin)],
        "DicomWeb": {
            "Enable": True,
            "Root": "/dicom-web/",
            "EnableWado": True,
            "WadoRoot": "/wado",
            "QidoCaseSensitive": True,
            "StudiesMetadata": "Full",
            "SeriesMetadata": "Full",
        },
    }


def archive_child(layout: Layout, ports: Ports) -> Child:
    """:raises StackError: Orthanc or its plugin is not set up"""
    plugin = TOOLS / "lib" / "libOrthancDicomWeb.so"
    if not plugin.exists():
        raise StackError("Orthanc's DICOMweb plugin is not set up: run 'make setup' once.", 2)
    (layout.directory / "orthanc").mkdir(exist_ok=True, mode=0o700)
    settings = layout.directory / "orthanc.json"
    write_secret(settings, json.dumps(orthanc_settings(layout, ports, plugin.resolve()), indent=2).encode())
    return Child(
        name="archive",
        command=[str(tool("Orthanc")), str(settings)],
        log=layout.log / "archive.log",
        healthy=lambda: serves(archive_url(ports), credentials(layout)),
    )


def serves(url: str, auth: tuple[str, str] | None) -> bool:
    """Whether DICOMweb answers a search there."""
    try:
        answer = requests.get(
            f"{url}/studies", params={"limit": "1"}, auth=auth, headers={"Accept": "application/dicom+json"}, timeout=5
        )
    except requests.RequestException:
        return False
    return answer.status_code in (200, 204)
