"""Writes the pages of this folder that say what the code says: ``python docs/generate.py`` (a test compares them).

``configuration.md`` comes from the descriptions in ``proxy/config``; ``reasons.md`` from the catalogue in
``proxy/answer/problem.py`` and the METADATA of the shipped policies; ``policy-reference.md`` from that METADATA and
``policies/schemas``.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from proxy.answer import CATALOGUE, Problems
from proxy.answer.problem import TYPE_PREFIX
from proxy.config import Site
from proxy.decide.metadata import blocks, reasons_of
from proxy.model import PolicyReason, Reason

NOTE = "<!-- Written by docs/generate.py: change the code and run it. -->"


def pages() -> dict[str, str]:
    """Content by file name."""
    return {"configuration.md": configuration(), "policy-reference.md": policy_reference(), "reasons.md": reasons()}


# ------------------------------------------------------------------------------------ configuration

CONFIGURATION = f"""{NOTE}

# Configuration

One TOML file; `dicomward check-config --config FILE` checks it. A section of the tables below is a table of the file,
with double brackets one of an array. Paths are relative to the file. Whatever is wrong ends the start with exit
status 2 and the name of the key: unknown keys, values out of bounds, files that are not there, secrets that others
can read. Nothing falls back to a default that was not asked for.

*required* in the column of defaults: the key has none.
"""


def configuration() -> str:
    blocks = [CONFIGURATION]
    for path, section, repeated in sections(Site, ""):
        rows = [
            f"| `{name}` | {_type(field)} | {_default(field)} | {_cell(field.description or '')} |"
            for name, field in section.model_fields.items()
            if _section(field) is None
        ]
        if not rows:
            continue
        title = f"## `[{path}]`" if path else "## Top of the file"
        if repeated:
            title = f"## `[[{path}]]`"
        blocks.append(f"{title}\n")
        if section.__doc__ and inspect.cleandoc(section.__doc__) and path:
            blocks.append(f"{inspect.cleandoc(section.__doc__)}\n")
        blocks.append("\n".join(["| Key | Type | Default | Meaning |", "|---|---|---|---|", *rows]) + "\n")
    return "\n".join(blocks)


def sections(model: type[BaseModel], path: str, repeated: bool = False) -> Iterator[tuple[str, type[BaseModel], bool]]:
    """Every section, its own before those inside it, and whether it is an array of tables."""
    yield path, model, repeated
    for name, field in model.model_fields.items():
        inner = _section(field)
        if inner is not None:
            array = get_origin(field.annotation) is tuple
            yield from sections(inner, f"{path}.{name}" if path else name, array)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    for kind in (field.annotation, *get_args(field.annotation)):
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            return kind
    return None


def _type(field: FieldInfo) -> str:
    return _cell(_kind(field.annotation, field.metadata))


def _kind(annotation: Any, metadata: Any = ()) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _kind(inner, [*metadata, *(each for part in more for each in getattr(part, "metadata", [part]))])
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(each, metadata) for each in get_args(annotation) if each is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in get_args(annotation))
    if origin is tuple:
        kind = _kind(get_args(annotation)[0])
        return f"list of {kind.removeprefix('one of ') if kind.startswith('one of ') else kind + 's'}"
    names = {str: "string", int: "integer", float: "number", bool: "boolean", Path: "path"}
    return " ".join(filter(None, [names[annotation], _bounds(metadata)]))


def _bounds(metadata: Any) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [
        f"{sign} {_number(getattr(each, name))}"
        for each in metadata
        for name, sign in signs.items()
        if hasattr(each, name)
    ]
    found += [f"matching `{each.pattern}`" for each in metadata if getattr(each, "pattern", None)]
    return ", ".join(found)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined:
        return "*required*"
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{_number(value)}`"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


# ------------------------------------------------------------------------------------------ reasons

REASONS = f"""{NOTE}

# Reasons

Whatever is refused is refused for reasons of these lists: answers, records and metrics use the same codes. An answer
that refuses is `application/problem+json` (RFC 9457); its `type` is `{TYPE_PREFIX}` and the gravest reason, `reasons`
holds each with what to do, and `decision` is the id to give to the operator:

```json
EXAMPLE
```

A site may say what to do in its own words (`[[remedies]]` of the configuration).
"""

OURS = """## Reasons of the proxy

No policy can give them for its own.
"""

THEIRS = """## Reasons of the shipped policies

They are told of in the METADATA beside the rules (`custom.code`, `title`, `custom.remedy`), and answered with status
403 but for those that the proxy gives too. Rules of a site bring theirs; a code that the policies in force do not tell
of is answered as "BY_POLICY".
"""


def reasons() -> str:
    told = shipped_reasons()
    catalogue = Problems({}, lambda: told)
    example = json.dumps(json.loads(catalogue(["posture-stale"], "019aad0d7a3b" + "5e" * 10).body), indent=2)
    ours = [(code, catalogue.entry(code)) for code in Reason if code in CATALOGUE]
    theirs = [(code, catalogue.entry(code)) for code in sorted(told)]
    head = ["Code", "Status", "What is the matter", "What to do"]
    return "\n".join(
        [
            REASONS.replace("EXAMPLE", example),
            OURS,
            _table(head, [_reason(code, entry) for code, entry in ours]) + "\n",
            THEIRS.replace("BY_POLICY", catalogue.entry("").title),
            _table([*head, "Rule"], [[*_reason(code, entry), f"`{told[code].rule}`"] for code, entry in theirs]) + "\n",
        ]
    )


def _reason(code: str, entry: Any) -> list[str]:
    return [f"`{code}`", str(entry.status), _cell(entry.title), _cell(entry.remedy)]


# ------------------------------------------------------------------------------------------ policies

POLICIES = Path(__file__).parents[1] / "policies"

REFERENCE = f"""{NOTE}

# Policy reference

What a policy sees, what it answers, what a site's data say, and which rules are shipped. `docs/policy.md` tells how
they belong together, `docs/policy-guide.md` how a rule is written. The schemas are `policies/schemas/*.v1.json`;
`dicomward policy check` holds data to theirs.

`[]` is each item of a list, `<name>` each name of a table. Times are RFC 3339 in UTC with milliseconds, so they
compare as texts.

## Common cases

CASES

`[HRESCH]` stands for `[CODING]`. A Consent:

```json
CONSENT
```

Only `active` ones count. Where one has a member, a code or a date that is not listed below, everything of its patient
is denied, but for `overriding_purposes`; where one does not say whose it is, everything of everybody. An object that
names no patient is as one whose patient has no consent. A search shows no rows of who opted out, and nothing is stored
for them. Consents, hours and networks close: none of them gives what no role permits. Counts of rates are what one
worker remembers, and approximate; a limit that cannot be read permits nothing.
"""

CODING = '{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}'

CASES = [
    ("A patient opts out of everything", "`consents.json`", 'a Consent with `"provision": {"type": "deny"}`'),
    (
        "A patient opts out of research",
        "`consents.json`",
        '`"provision": {"type": "deny", "purpose": [HRESCH]}`; kinds of research are meant too (`consent.narrower`)',
    ),
    (
        "A patient opts out but for treatment",
        "`consents.json`",
        '`"provision": {"type": "deny", "provision": [{"type": "permit", "purpose": [TREAT]}]}`',
    ),
    (
        "Research needs a consent",
        "`consents.json`",
        '`"default": {"*": "permit", "HRESCH": "deny", "CLINTRCH": "deny"}`; '
        'a Consent with `"type": "permit"` and the purpose opens it for its patient',
    ),
    ("A consent for two years", "`consents.json`", '`"period": {"start": "2026-01-01", "end": "2027-12-31"}`'),
    (
        "An emergency",
        "`consents.json`",
        "nothing: `overriding_purposes` has `ETREAT`. A role has to have it among its `purposes`",
    ),
    (
        "A night shift",
        "`hours.json`, `roles.json`",
        '`"night": {"monday": [{"from": "22:00", "to": "06:00"}]}`, and `"hours": "night"` in the role',
    ),
    (
        "A role at the hospital only",
        "configuration, `roles.json`",
        '`[[policy.networks]]` with `name = "clinic"`, and `"networks": ["clinic"]` in the role',
    ),
    (
        "Research with masks",
        "`roles.json`",
        '`"purposes": ["HRESCH"]` and `"obligations": {"*": [{"type": "mask", "attributes": [...]}]}`',
    ),
    (
        "Nobody reads a whole archive",
        "`rates.json`",
        '`"rates": {"*": {"patients_hour": 200}, "retrieve": {"bytes_hour": 50000000000}}`',
    ),
    (
        "A service that asks much",
        "`subjects.json`",
        '`"rates": {"*": {"requests_minute": 6000}}` in its profile, in place of those of the site',
    ),
]

CONSENT = """{
  "resourceType": "Consent",
  "id": "c1",
  "status": "active",
  "patient": {"identifier": {"value": "P1"}},
  "dateTime": "2026-01-01",
  "provision": {
    "type": "deny",
    "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}]
  }
}"""

SECTIONS = {
    "input": ("Input", "What `input` holds."),
    "result": ("Result", "What `data.dicomweb.authz.decision` has to be. Anything else denies."),
    "data": ("Data", "What the files of `policies/data` say together: a file has one or more of these sections."),
}


def policy_reference() -> str:
    cases = _table(["What is wanted", "File", "What to write"], CASES)
    blocks_ = [REFERENCE.replace("CONSENT", CONSENT).replace("CODING", CODING).replace("CASES", cases)]
    for name, (title, text) in SECTIONS.items():
        schema = json.loads((POLICIES / f"schemas/{name}.v1.json").read_bytes())
        rows = [
            (f"`{place}`", _cell(_json_type(field)), _cell(field["description"]), _examples(field))
            for place, field in _fields(schema, "")
        ]
        table = _table(["Field", "Type", "Meaning", "Example"], rows)
        blocks_.append(f"## {title}\n\n{text}\n\n{table}\n")
    blocks_.append(_rules())
    return "\n".join(blocks_)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, *rows]).replace("\n", f"\n{'|---' * len(head)}|\n", 1)


def _fields(schema: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Every member that has a name, with where it stands; what may be one of several is followed in each."""
    for name, member in schema.get("properties", {}).items():
        yield f"{place}{name}", member
        if place != "device.posture.":  # each is like the last, which is of any name
            yield from _fields(member, f"{place}{name}.")
    for choice in schema.get("anyOf", []):
        if "properties" in choice and "type" in choice["properties"] and place.endswith("[]."):
            kind = choice["properties"]["type"]["enum"][0]
            yield f"{place}type = {kind}", {**choice["properties"]["type"], "description": choice["description"]}
            rest = {name: each for name, each in choice["properties"].items() if name != "type"}
            yield from _fields({"properties": rest}, place)
        else:
            yield from _fields(choice, place)
    if isinstance(schema.get("items"), dict):
        yield from _fields(schema["items"], f"{place.removesuffix('.')}[].")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _fields(schema["additionalProperties"], f"{place}<name>.")


def _json_type(schema: Any) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if "anyOf" in schema and "type" not in schema:
        return " or ".join(dict.fromkeys(_json_type(choice) for choice in schema["anyOf"]))
    kind = schema.get("type", "any")
    if kind == "array":
        inner = _json_type(schema["items"]) if isinstance(schema.get("items"), dict) else "any"
        return f"list of {inner}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return "table"
    return str(kind)


def _examples(schema: Any) -> str:
    if schema.get("properties"):
        return "as below"
    return ", ".join(f"`{_cell(json.dumps(example, ensure_ascii=False))}`" for example in schema["examples"])


def _rules() -> str:
    rows = []
    for path in sorted(POLICIES.glob("dicomweb/*/*.rego")):
        if path.stem.endswith("_test"):
            continue
        first, *rest = blocks(str(path), path.read_text("utf-8"))
        codes = [f"`{told['custom']['code']}`" for told in rest if "code" in told.get("custom", {})]
        rows.append((f"`{path.stem}`", _cell(first["description"].strip()), ", ".join(codes)))
    table = _table(["Rule", "What it says", "Reasons"], rows)
    return f"## Rules\n\nEach is `policies/dicomweb/<rule>/<rule>.rego`, its test beside it.\n\n{table}\n"


def shipped_reasons() -> Mapping[str, PolicyReason]:
    return reasons_of(
        (str(path), path.read_text("utf-8"))
        for path in sorted(POLICIES.glob("**/*.rego"))
        if not path.stem.endswith("_test")
    )


if __name__ == "__main__":
    for name, content in pages().items():
        (Path(__file__).parent / name).write_text(content, "utf-8")
