"""How a rendered image is to be made (PS3.18 8.3.5), each value in the one way it can be written.

Archives guess here: Orthanc drops the connection on ``viewport=0,0`` and reads what it can of ``window``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from proxy.interpret.parameters import invalid, read_named
from proxy.model import Rendering

MAX_SIDE: Final = 4096
MAX_SOURCE: Final = 65535

PLAIN: Final = Rendering()
THUMBNAIL: Final = Rendering(thumbnail=True)

_WHOLE: Final = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_MAX_DECIMAL_CHARS: Final = 16
_FUNCTIONS: Final = frozenset({"linear", "linear-exact", "sigmoid"})
_ANNOTATIONS: Final = frozenset({"patient", "technique"})
_PROFILES: Final = frozenset({"no", "yes", "srgb", "adobergb", "rommrgb"})


def read_rendering(raw: str, thumbnail: bool) -> Rendering:
    """:raises RefusedError: an unknown, doubled or malformed parameter"""
    if not raw:
        return THUMBNAIL if thumbnail else PLAIN
    rules = _THUMBNAIL_RULES if thumbnail else _RULES
    return rendering_of({name: rules[name](value) for name, value in read_named(raw, rules).items()}, thumbnail)


def rendering_of(values: dict[str, str], thumbnail: bool = False) -> Rendering:
    """From canonical values."""
    return Rendering(thumbnail=thumbnail, parameters=tuple(sorted(values.items())))


def write_rendering(rendering: Rendering) -> str:
    """The query string of a canonical rendering, without question mark."""
    return "&".join(f"{name}={quote(value, safe=',')}" for name, value in rendering.parameters)


def viewport(value: str) -> str:
    """``w,h``, the size of the image; ``w,h,sx,sy,sw,sh`` with the region it is made of; or ``,,sx,sy,sw,sh``.

    :raises RefusedError: other numbers than 1 to 4096 for a size, 0 to 65535 for a place
    """
    items = value.split(",")
    size, source = items[:2], items[2:]
    legal = all(map(_is_side, size)) or (size == ["", ""] and source)
    if not legal or len(items) not in (2, 6) or not all(map(_is_source, source)) or "0" in source[2:]:
        raise invalid(f"viewport is w,h or w,h,sx,sy,sw,sh: sizes of 1 to {MAX_SIDE}, places to {MAX_SOURCE}")
    return value


def size(value: str) -> str:
    """:raises RefusedError: not ``w,h``"""
    if value.count(",") != 1:
        raise invalid("a viewport is w,h here")
    return viewport(value)


def window(value: str) -> str:
    """``center,width,function``, decimal numbers without exponent, trailing zeros dropped.

    :raises RefusedError: three other things, or a width that is not above 0
    """
    items = value.split(",")
    if len(items) != 3 or items[2] not in _FUNCTIONS:
        raise invalid("window is center,width,function: linear, linear-exact or sigmoid")
    center, width = _decimal(items[0]), _decimal(items[1])
    if width == "0" or width.startswith("-"):
        raise invalid("the width of a window is above 0")
    return f"{center},{width},{items[2]}"


def quality(value: str) -> str:
    """:raises RefusedError: not 1 to 100"""
    if _WHOLE.fullmatch(value) is None or not 1 <= int(value) <= 100:
        raise invalid("quality is 1 to 100")
    return value


def _annotation(value: str) -> str:
    items = value.split(",")
    if len(set(items)) < len(items) or not _ANNOTATIONS.issuperset(items):
        raise invalid("annotation is patient, technique or both")
    return ",".join(sorted(items))


def _profile(value: str) -> str:
    if value not in _PROFILES:
        raise invalid("iccprofile is no, yes, srgb, adobergb or rommrgb")
    return value


def _is_side(item: str) -> bool:
    return _WHOLE.fullmatch(item) is not None and 1 <= int(item) <= MAX_SIDE


def _is_source(item: str) -> bool:
    return _WHOLE.fullmatch(item) is not None and int(item) <= MAX_SOURCE


def _decimal(text: str) -> str:
    if len(text) > _MAX_DECIMAL_CHARS or _DECIMAL.fullmatch(text) is None:
        raise invalid(f"a number is decimal, without exponent, at most {_MAX_DECIMAL_CHARS} characters")
    number = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if number == "-0" else number


_RULES: Final[dict[str, Callable[[str], str]]] = {
    "annotation": _annotation,
    "iccprofile": _profile,
    "quality": quality,
    "viewport": viewport,
    "window": window,
}
_THUMBNAIL_RULES: Final[dict[str, Callable[[str], str]]] = {"viewport": size}
