"""What METADATA comments say of the rules beside them (OPA's annotations). Pure.

A reason that policies give is told of where it is given: ``custom.code``, its ``title`` for whoever is refused, and
``custom.remedy``, what to do about it. So a rule of a site brings its own reason, and no code of ours has to know it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import yaml

from proxy.decide.policies import Kept
from proxy.errors import PolicyInvalidError
from proxy.model import PolicyReason, Reason

_BLOCK: Final = re.compile(r"^# METADATA\n((?:#.*\n)+)", re.MULTILINE)
_PACKAGE: Final = re.compile(r"^package\s+(?:dicomweb\.)?([\w.]+)", re.MULTILINE)
_CODE: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
LONGEST_CODE: Final = 64
LONGEST_TEXT: Final = 300
LONGEST_BLOCK: Final = 10_000
OURS: Final = frozenset({Reason.RESOURCE_UNKNOWN, Reason.STUDY_MISMATCH})
"""Reasons that both the proxy and policies give: how they are answered is the proxy's."""
BY_POLICY: Final = frozenset(
    {
        Reason.ACTION_NOT_PERMITTED,
        Reason.SUBJECT_UNKNOWN,
        Reason.INSTITUTION_NOT_GRANTED,
        Reason.PARTIAL_STUDY,
        Reason.DEPARTMENT_NOT_GRANTED,
        Reason.MODALITY_NOT_GRANTED,
        Reason.PATIENT_NOT_GRANTED,
        Reason.PURPOSE_NOT_PERMITTED,
        Reason.POSTURE_MISSING,
        Reason.POSTURE_STALE,
        Reason.POSTURE_DISK_UNENCRYPTED,
        Reason.POSTURE_PATCHES_OLD,
        Reason.POSTURE_SCREEN_UNLOCKED,
        Reason.POSTURE_FIREWALL_OFF,
        Reason.POSTURE_MALWARE_PROTECTION_OFF,
        Reason.POSTURE_TRUST_TOO_LOW,
        Reason.CONSENT_WITHHELD,
        Reason.OUTSIDE_HOURS,
        Reason.NETWORK_NOT_PERMITTED,
        Reason.RATE_EXCEEDED,
        Reason.VOLUME_EXCEEDED,
    }
    | OURS
)
"""Reasons of the shipped policies."""


def reasons_of(modules: Iterable[tuple[str, str]]) -> Mapping[str, PolicyReason]:
    """By code, what the modules say of the reasons they give.

    :param modules: path and text
    :raises PolicyInvalidError: METADATA is no YAML mapping; a code is malformed, told of twice, without a title or
        remedy, or one that the proxy gives for grounds of its own
    """
    found: dict[str, PolicyReason] = {}
    for path, text in modules:
        package = _PACKAGE.search(text)
        for told in blocks(path, text):
            custom = told.get("custom")
            if not isinstance(custom, dict) or "code" not in custom:
                continue
            code, title, remedy = custom["code"], told.get("title"), custom.get("remedy")
            if not isinstance(code, str) or len(code) > LONGEST_CODE or _CODE.fullmatch(code) is None:
                raise PolicyInvalidError(f"{path}: a code is words of lower-case letters and digits joined by hyphens")
            if code in found:
                raise PolicyInvalidError(f"{path}: {code} is told of elsewhere too, in {found[code].rule}")
            if code in set(Reason) and code not in BY_POLICY:
                raise PolicyInvalidError(f"{path}: {code} is a reason that the proxy gives: choose another code")
            if not _is_text(title) or not _is_text(remedy):
                raise PolicyInvalidError(f"{path}: {code} needs a title and custom.remedy, one short line each")
            found[code] = PolicyReason(
                code=code, title=str(title), remedy=str(remedy), rule="" if package is None else package[1]
            )
    return found


def kept_reasons(folder: Path) -> Mapping[str, PolicyReason]:
    """What any policies that were in force say of their reasons, the latest last: for records of the past.

    What of the kept sets cannot be read is left out.
    """
    kept, found = Kept(folder, make=False), dict[str, PolicyReason]()
    latest = list(dict.fromkeys(told.digest for told in reversed(kept.history())))
    for digest in reversed(latest):
        with suppress(PolicyInvalidError):
            found |= reasons_of(kept.read(digest).modules())
    return found


def blocks(path: str, text: str) -> Iterable[Mapping[str, Any]]:
    """Each METADATA comment as a value.

    :raises PolicyInvalidError: one is no YAML mapping
    """
    for block in _BLOCK.findall(text):
        if len(block) > LONGEST_BLOCK:
            raise PolicyInvalidError(f"{path}: METADATA of more than {LONGEST_BLOCK} characters")
        try:
            value = yaml.safe_load("".join(line[1:] for line in block.splitlines(keepends=True)))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            # To this reader a thirteenth month is a ValueError, and a thousand open brackets are a RecursionError.
            raise PolicyInvalidError(f"{path}: METADATA is not YAML") from error
        if not isinstance(value, dict):
            raise PolicyInvalidError(f"{path}: METADATA is not a YAML mapping")
        yield value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_TEXT and value.strip().isprintable()
