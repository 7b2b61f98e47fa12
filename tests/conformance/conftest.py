from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.dev.layout import Ports
from deploy.dev.site import identify_settings
from tests.conformance.judge import Judge
from tests.conformance.seen import check_seen
from tests.conformance.wire import Caller
from tests.laws import check_laws
from tests.stack import GENEROUS, RelayedStack, relayed_stack

BODY_BYTES = 2**30


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayedStack]:
    """A whole stack under limits that no test reaches. When all of them are done the laws must hold, and
    the archive must have seen nothing but what was allowed."""
    # Here ``Authorization`` is one more header that means nothing and goes nowhere; of tokens see test_identity.
    (authority,) = identify_settings(Ports())["authorities"]
    overrides: dict[str, dict[str, Any]] = {
        "identify": {"authorities": [{**authority, "users": "none"}]},
        "limits": {**GENEROUS, "body_bytes": BODY_BYTES},
        "archive": {"withheld_frame_types": []},  # what is stored so may be asked for so, of an archive that can
    }
    with relayed_stack(tmp_path_factory.mktemp("conformance"), overrides) as running:
        yield running
        check_laws(running.dev)
        check_seen(running)
        assert running.relay.unreadable == [], "the archive was sent what is not a plain request"


@pytest.fixture(scope="session")
def caller(stack: RelayedStack) -> Caller:
    return caller_of(stack)


@pytest.fixture(scope="session")
def judge(stack: RelayedStack, caller: Caller) -> Judge:
    return Judge(stack, caller)


def caller_of(stack: RelayedStack) -> Caller:
    return Caller(stack.dev.ports.proxy, stack.dev.ca, stack.dev.layout.pki)


@pytest.fixture(scope="module")
def untouched(stack: RelayedStack) -> Iterator[None]:
    """Nothing that a module's tests send reaches the archive, not even later."""
    before = stack.relay.count
    yield
    time.sleep(0.2)
    assert stack.relay.since(before) == []
