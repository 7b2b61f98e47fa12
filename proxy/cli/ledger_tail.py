"""``dicomward ledger tail``: records as they come."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from proxy.cli.ledger_parts import ConfigOption, DirOption, console, printable
from proxy.config import load_site, site_path
from proxy.model import JsonObject, RecordRow
from proxy.record.reader import OriginReader, current_reader

POLL_S: Final = 0.3
_ROWS: Final = 256


def tail(
    config: ConfigOption = None,
    dir: DirOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Records to begin with.")] = 10,
    stop_after: Annotated[int | None, typer.Option(min=1, help="End after so many records.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Show records as they become durable, and how far the chain is. Ctrl-C ends it. Shows patient data."""
    site = load_site(site_path(config, dir))
    with suppress(KeyboardInterrupt):
        _follow(site.record.directory, site.ledger.status_file, lines, stop_after, as_json)


def _follow(folder: Path, status_file: Path, lines: int, stop_after: int | None, as_json: bool) -> None:
    reader = current_reader(folder)
    try:
        place = max(reader.floor(), reader.count() - lines)
        shown = 0
        while True:
            rows = reader.rows(place, _ROWS)
            final = _final(status_file, reader.origin)
            for row in rows:
                _show(row, reader.origin, final, as_json)
                place, shown = row.index + 1, shown + 1
                if shown == stop_after:
                    return
            if not rows:
                reader, place = _current(folder, reader, place)
                time.sleep(POLL_S)
    finally:
        reader.close()


def _current(folder: Path, reader: OriginReader, place: int) -> tuple[OriginReader, int]:
    """The origin in use, which may have been succeeded."""
    newest = current_reader(folder)
    if newest.origin == reader.origin:
        newest.close()
        return reader, place
    reader.close()
    return newest, 0


def _final(status_file: Path, origin: bytes) -> int:
    """How many records the anchor process says are final."""
    with suppress(OSError, orjson.JSONDecodeError, KeyError, TypeError):
        said = orjson.loads(status_file.read_bytes())
        if said["origin"] == origin.hex():
            return int(said["final"])
    return 0


def _show(row: RecordRow, origin: bytes, final: int, as_json: bool) -> None:
    body: dict[str, Any] = {}
    with suppress(orjson.JSONDecodeError):
        body = orjson.loads(row.body)
    if as_json:
        line: JsonObject = {"origin": origin.hex(), "index": row.index, "final": row.index < final, "record": body}
        typer.echo(orjson.dumps(line).decode("utf-8"))
        return
    standing = "final" if row.index < final else "waits"
    words = " ".join(str(word) for word in _words(body) if word)
    console.print(printable(f"{row.index:>8}  {standing}  {body.get('time', ''):<24}  {row.kind:<10}  {words}"))


def _words(body: dict[str, Any]) -> tuple[object, ...]:
    kind = body.get("kind")
    if kind == "decision":
        with suppress(KeyError, TypeError, AttributeError):
            asked, verdict = body["input"], body["verdict"]
            subject, request = asked["subject"], asked.get("request") or {}
            name = subject.get("certificate", subject).get("name")
            named = [request.get(each) for each in ("action", "study", "series", "instance")]
            return (body["id"], "allowed" if verdict["allow"] else "denied", *verdict["reasons"], name, *named)
    if kind == "outcome":
        return body.get("id"), body.get("status"), body.get("http_status"), body.get("bytes")
    return body.get("id"), body.get("event"), body.get("reason"), body.get("count")
