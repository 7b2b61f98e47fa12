"""METADATA comes with policies of anybody: whatever is in it, it tells of a reason or is refused by name."""

import pytest

from proxy.decide.metadata import LONGEST_BLOCK, blocks, reasons_of
from proxy.errors import PolicyInvalidError

REASON = "title: Not now\ncustom:\n  code: not-now\n  remedy: Come back."


def module(metadata: str) -> list[tuple[str, str]]:
    block = "".join(f"# {line}\n" for line in ["METADATA", *metadata.split("\n")])
    return [("site.rego", f'package dicomweb.site\n\n{block}deny contains "not-now" if false\n')]


def test_a_reason_is_told_of() -> None:
    told = reasons_of(module(REASON))["not-now"]
    assert (told.title, told.remedy, told.rule) == ("Not now", "Come back.", "site")


@pytest.mark.parametrize(
    "metadata",
    [
        "title: 2026-13-45",
        "title: 0b_",
        "x: !!float abc",
        "x: !!python/object/apply:os.system [id]",
        f"x: {'9' * 5000}",
        f"x: {'[' * 5000}",
        f"x: {'{a: ' * 2000}",
        "x: *nothing",
        "- a list",
    ],
)
def test_what_yaml_cannot_read_is_refused_by_the_name_of_its_file(metadata: str) -> None:
    with pytest.raises(PolicyInvalidError, match=r"site\.rego: METADATA is not"):
        reasons_of(module(metadata))


def test_a_block_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(PolicyInvalidError, match="METADATA of more than"):
        list(blocks("site.rego", module(f"description: {'x' * LONGEST_BLOCK}")[0][1]))


@pytest.mark.parametrize("title", [r"\e[31mred", r"a\u202eb", r"a\u2028b", r"a\nb", r"\0", "", "   ", "x" * 301])
def test_a_title_is_one_line_that_can_be_printed(title: str) -> None:
    with pytest.raises(PolicyInvalidError, match="one short line each"):
        reasons_of(module(REASON.replace("Not now", f'"{title}"')))


@pytest.mark.parametrize("code", ["internal-error", "policy-unavailable", "rate-limited", "certificate-revoked"])
def test_a_reason_of_the_proxy_is_not_for_policies(code: str) -> None:
    with pytest.raises(PolicyInvalidError, match="a reason that the proxy gives"):
        reasons_of(module(REASON.replace("not-now", code)))
