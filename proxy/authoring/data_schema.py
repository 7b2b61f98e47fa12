"""Holds a site's data to ``schemas/data.v1.json``, each file and key by its name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema
import orjson

from proxy.authoring.findings import Finding
from proxy.authoring.folder import Source
from proxy.errors import PolicyInvalidError

SCHEMA: Final = "schemas/data.v1.json"
_SHOWN: Final = 80


def data_findings(source: Source) -> Iterator[Finding]:
    """A section of data is told by its file."""
    path = source.folder / SCHEMA
    try:
        schema: Any = orjson.loads(path.read_bytes())
        validator: Any = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        validator.check_schema(schema)
    except FileNotFoundError:
        yield Finding(file=SCHEMA, line=0, check="data", text="is missing: copy it from the shipped policies")
        return
    except (OSError, orjson.JSONDecodeError, jsonschema.SchemaError) as error:
        raise PolicyInvalidError(f"{SCHEMA}: is no JSON Schema") from error
    files = {
        section: name
        for name, content in source.policies.files.items()
        if name.startswith("data/") or name == "data.json"
        for section in orjson.loads(content)
    }
    for fault in validator(schema).iter_errors(orjson.loads(source.policies.data())):
        yield from _told(fault, files)


def _told(error: Any, files: Mapping[str, str]) -> Iterator[Finding]:
    keys = [str(key) for key in error.absolute_path]
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        patterns = error.schema.get("patternProperties", {})
        for key in sorted(set(error.instance) - set(known)):
            if not patterns:
                yield _finding([*keys, key], f"is not known here{_meant(key, known)}", files)
        if not patterns:
            return
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        yield _finding(keys, f"has to have {' and '.join(missing)}", files)
    elif error.validator in ("anyOf", "oneOf") and error.context:
        best = max(error.context, key=jsonschema.exceptions.relevance)
        yield _finding(
            [str(key) for key in best.absolute_path] or keys, f"fits none of its forms: {_expected(best)}", files
        )
    else:
        yield _finding(keys, _expected(error), files)


def _expected(error: Any) -> str:
    value = orjson.dumps(error.instance).decode()
    got = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}..."
    limit = error.validator_value
    if error.validator == "type":
        wanted = " or ".join(limit) if isinstance(limit, list) else str(limit)
        return f"has to be of type {wanted}, and is {got}"
    if error.validator == "enum":
        known = [str(each) for each in limit]
        return f"has to be one of {', '.join(known)}, and is {got}{_meant(str(error.instance), known)}"
    if error.validator == "pattern":
        return f"has to match {limit}, and is {got}"
    if error.validator == "const":
        return f"has to be {orjson.dumps(limit).decode()}, and is {got}"
    return f"{got} does not hold to {error.validator} {orjson.dumps(limit).decode()[:_SHOWN]}"


def _finding(keys: list[str], text: str, files: Mapping[str, str]) -> Finding:
    file = files.get(keys[0], "data/") if keys else "data/"
    return Finding(file=file, line=0, check="data", text=f"{'.'.join(keys) or 'data'} {text}")


def _meant(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
