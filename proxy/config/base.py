"""Types of keys, and what every section has in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo


def _existing(path: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return path if path.is_absolute() else (base / path)


def _located(location: str, info: ValidationInfo) -> str:
    if "://" not in location:
        return str(_existing(Path(location), info))
    parts = urlsplit(location)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("must be a file, or an http or https address without credentials and fragment")
    return location


SitePath = Annotated[Path, AfterValidator(_existing)]
Location = Annotated[str, AfterValidator(_located)]
"""A file, relative to the configuration, or an http or https address."""
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Action = Literal[
    "search", "metadata", "retrieve", "render", "bulkdata", "store", "read_decision", "report_posture", "manage_posture"
]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)
