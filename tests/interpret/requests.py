"""Strategies for requests over all routes of the table: legal ones, and legal ones with something wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag

from proxy.interpret.attributes import MATCHABLE
from proxy.interpret.routes import ROUTES, Route
from proxy.model import Action

from .building import STORE_TYPE, Headers


@dataclass(frozen=True, kw_only=True)
class Asked:
    route: Route
    method: str
    target: str
    headers: Headers


Draw = Callable[..., object]

uids = st.from_regex(r"(0|[1-9][0-9]{0,4})(\.(0|[1-9][0-9]{0,4})){0,6}", fullmatch=True)
syntaxes = st.one_of(st.just("*"), uids)
counts = st.integers(1, 99999999).map(str)
tags = st.integers(0x00080000, 0xFFFDFFFF).flatmap(lambda tag: st.sampled_from([f"{tag:08x}", f"{tag:08X}"]))
attributes = st.builds(
    lambda first, rest: "/".join([first, *(f"{item}/{tag}" for item, tag in rest)]),
    tags,
    st.lists(st.tuples(counts, tags), max_size=16),
)
segments = {
    "study": uids,
    "series": uids,
    "instance": uids,
    "frames": st.lists(counts, min_size=1, max_size=6, unique=True).map(",".join),
    "frame": counts,
    "attribute": attributes,
}

sides = st.integers(1, 4096).map(str)
places = st.integers(0, 65535).map(str)
extents = st.integers(1, 65535).map(str)
sizes = st.builds(lambda w, h: f"{w},{h}", sides, sides)
regions = st.builds(
    lambda size, x, y, w, h: f"{size},{x},{y},{w},{h}", st.one_of(sizes, st.just(",")), places, places, extents, extents
)
centers = st.decimals(-4096, 4096, places=2).map(str)
widths = st.decimals("0.01", 65536, places=2).map(str)
windows = st.builds(
    lambda c, w, f: f"{c},{w},{f}", centers, widths, st.sampled_from(["linear", "linear-exact", "sigmoid"])
)
qualities = st.integers(1, 100).map(str)
image_parameters = {
    "viewport": st.one_of(sizes, regions),
    "window": windows,
    "quality": qualities,
    "annotation": st.sampled_from(["patient", "technique", "patient,technique", "technique%2Cpatient"]),
    "iccprofile": st.sampled_from(["no", "yes", "srgb", "adobergb", "rommrgb"]),
}

by_representation = {
    "UI": st.lists(uids, min_size=1, max_size=3).map(",".join),
    "CS": st.sampled_from(["CT", "CT,MR", "C*"]),
    "DA": st.sampled_from(["20200229", "20200101-", "-20200101", "20200101-20201231"]),
    "TM": st.sampled_from(["10", "1030-", "103000.123"]),
    "IS": st.integers(-999, 999).map(str),
}
texts = st.sampled_from(["A*", "Doe%5EJane", "Doe+Jane", "M%C3%BCller%20?", "a%3Db%26c%23d"])
private = st.builds(
    lambda group, element: f"{group:04X}{element:04X}",
    st.integers(0x0009 // 2, 0xFFFD // 2).map(lambda half: half * 2 + 1),
    st.one_of(st.integers(0x0010, 0x00FF), st.integers(0x1000, 0xFFFF)),
)
included = st.lists(
    st.one_of(private, st.sampled_from(["00081030", "Modality", "0020000d", "PatientComments"])), min_size=1, max_size=4
).map(",".join)


@st.composite
def requests(draw: Draw) -> Asked:
    """One request that the grammar has; every route is drawn."""
    route = draw(st.sampled_from(ROUTES))
    path = route.path.format(
        **{name: draw(segment) for name, segment in segments.items() if f"{{{name}}}" in route.path}
    )
    query = draw(queries(route))
    if route.action is Action.STORE:
        method = "POST"
        length = draw(st.sampled_from([("Content-Length", "17"), ("Transfer-Encoding", "chunked")]))
        headers = [("Content-Type", STORE_TYPE), length, *draw(st.sampled_from([[], [("Expect", "100-continue")]]))]
    else:
        method = draw(st.sampled_from(["GET", "HEAD"]))
        headers = []
    headers += draw(st.sampled_from([[], [("Purpose-Of-Use", "TREAT")]]))
    headers += [("Accept", accept) for accept in draw(st.lists(accepts(route), max_size=2))]
    return Asked(route=route, method=method, target=f"{path}?{query}" if query else path, headers=headers)


@st.composite
def queries(draw: Draw, route: Route) -> str:
    if route.path == "/wado":
        pairs = draw(wado())
    elif route.action is Action.RENDER:
        rules = {"viewport": sizes} if route.path.endswith("thumbnail") else image_parameters
        pairs = draw(st.fixed_dictionaries({}, optional=rules))
    elif route.action is Action.SEARCH:
        pairs = draw(searches(route))
    else:
        return ""
    return "&".join(f"{name}={value}" for name, value in draw(st.permutations(list(pairs.items()))))


@st.composite
def searches(draw: Draw, route: Route) -> dict[str, str]:
    names = MATCHABLE[route.level, route.uids]
    keys = draw(st.lists(st.sampled_from(sorted(set(names.values()))), max_size=3, unique=True))
    pairs = {draw(spellings(tag)): draw(by_representation.get(vr, texts)) for tag, vr in keys}
    controls = {
        "includefield": st.one_of(included, st.just("all")),
        "fuzzymatching": st.sampled_from(["true", "false"]),
        "limit": st.integers(1, 99999).map(str),
        "offset": st.integers(0, 99999).map(str),
    }
    return pairs | draw(st.fixed_dictionaries({}, optional=controls))


def spellings(name: str) -> st.SearchStrategy[str]:
    """All names of the attribute that a tag names; other names are left as they are."""
    if len(name) != 8 or not name[0].isdigit():
        return st.just(name)
    keyword = keyword_for_tag(name)
    return st.sampled_from([name.upper(), name.lower(), *([keyword] if keyword else [])])


@st.composite
def wado(draw: Draw) -> dict[str, str]:
    pairs = {"requestType": "WADO", "studyUID": draw(uids), "seriesUID": draw(uids), "objectUID": draw(uids)}
    pairs |= draw(
        st.fixed_dictionaries({}, optional={"charset": st.sampled_from(["utf-8", "UTF-8"]), "anonymize": st.just("no")})
    )
    if draw(st.booleans()):
        pairs["contentType"] = draw(st.sampled_from(["application/dicom", "image/gif,application%2Fdicom"]))
        return pairs | draw(st.fixed_dictionaries({}, optional={"transferSyntax": syntaxes}))
    pairs |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "contentType": st.sampled_from(["image/jpeg", "image/png", "image/png,image/jpeg", "image/*"]),
                "frameNumber": counts,
                "imageQuality": qualities,
            },
        )
    )
    if draw(st.booleans()):
        pairs |= {"rows": draw(sides), "columns": draw(sides)}
    if draw(st.booleans()):
        pairs |= {"windowCenter": draw(centers), "windowWidth": draw(widths)}
    return pairs


@st.composite
def accepts(draw: Draw, route: Route) -> str:
    """A header that some offer of the route meets: ``route.offers`` can be given whatever the path names."""
    offer = draw(st.sampled_from(route.offers.of[:2] if route.path == "/wado" else route.offers.of))
    wanted = draw(st.sampled_from([offer.label, "*/*"]))
    if offer.media_type in ("application/dicom", "image/jls", "image/jpeg") and offer.multipart:
        wanted += draw(st.one_of(st.just(""), syntaxes.map(lambda syntax: f"; transfer-syntax={syntax}")))
    weight = draw(st.sampled_from(["", ";q=1.0", ";q=0.5", ";q=0.001"]))
    others = draw(st.lists(st.sampled_from(["text/html", "application/pdf;q=0.9", "image/gif"]), max_size=2))
    return ", ".join(draw(st.permutations([wanted + weight, *others])))


bad = st.sampled_from(
    ["/", "//", "/..", "%2e", "%00", "\\", ";", "#", "?", "&", "=", ",", ".", "*", "0", "x", "\u00e9", "_method=delete"]
)


@st.composite
def mutated_requests(draw: Draw) -> Asked:
    """A legal request in which one to three things were put in, taken out or exchanged."""
    asked = draw(requests())
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.integers(0, len(asked.target)))
        dropped = draw(st.integers(0, 3))
        target = asked.target[:where] + draw(st.one_of(st.just(""), bad)) + asked.target[where + dropped :]
        asked = replace(asked, target=target)
    if draw(st.booleans()):
        other = draw(requests())
        asked = replace(asked, headers=other.headers)
    if draw(st.booleans()):
        asked = replace(asked, method=draw(st.sampled_from(["GET", "HEAD", "POST", "OPTIONS"])))
    return asked
