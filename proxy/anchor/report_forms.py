"""A report of accesses as text that is safe where it goes: a spreadsheet, a browser. Pure."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from typing import Final

from proxy.anchor.accesses import Access

COLUMNS: Final = (
    "time",
    "subject",
    "user",
    "device",
    "address",
    "purpose",
    "action",
    "target",
    "about",
    "verdict",
    "reasons",
    "policy",
    "rows",
    "parts",
    "outcome",
    "http_status",
    "bytes",
    "decision",
    "standing",
)

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the wide forms, which some spreadsheets take for the same."""
_STYLE: Final = (
    "body{font:11px sans-serif}table{border-collapse:collapse;width:100%}"
    "th,td{border:1px solid #999;padding:2px 4px;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "thead{display:table-header-group}tr{break-inside:avoid}.denied td{background:#fdd}"
    "@page{size:landscape;margin:10mm}"
)


def standing(access: Access) -> str:
    """Where its record stands on the chain, in a word."""
    if not access.intact:
        return "CHANGED"
    if access.block is None:
        return "not anchored yet"
    return f"block {access.block}, {'final' if access.final else 'not final yet'}"


def cells(access: Access) -> tuple[str, ...]:
    """One row, in the order of :data:`COLUMNS`, as it was recorded: not yet safe anywhere."""
    return (
        access.time,
        access.subject,
        access.user,
        access.device,
        access.address,
        access.purpose,
        access.action,
        access.target,
        access.about,
        "allowed" if access.allowed else "denied",
        " ".join(access.reasons),
        access.policy,
        "" if access.rows is None else str(access.rows),
        "; ".join(access.parts),
        access.outcome or "unknown",
        "" if access.http_status is None else str(access.http_status),
        "" if access.bytes is None else str(access.bytes),
        access.decision,
        standing(access),
    )


def as_csv(accesses: Sequence[Access]) -> str:
    """RFC 4180. A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for access in accesses:
        writer.writerow([_plain(cell) for cell in cells(access)])
    return text.getvalue()


def _plain(cell: str) -> str:
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) or cell.startswith(_FORMULA) else cell


def as_html(accesses: Sequence[Access], title: str, notes: Sequence[str]) -> str:
    """One page for a printer: nothing is loaded, nothing runs."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in COLUMNS)
    rows = "".join(
        f'<tr class="{"allowed" if access.allowed else "denied"}">'
        + "".join(f"<td>{_escaped(cell)}</td>" for cell in cells(access))
        + "</tr>\n"
        for access in accesses
    )
    said = "".join(f"<p>{_escaped(note)}</p>" for note in notes)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_escaped(title)}</title><style>{_STYLE}</style></head><body><h1>{_escaped(title)}</h1>{said}"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></body></html>\n"
    )


def _escaped(text: str) -> str:
    """No markup, and no character that turns the direction of what is read."""
    return html.escape("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))
