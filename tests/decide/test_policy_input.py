"""Names of networks, and the site's own time."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from proxy.decide import Environment, Networks

NETWORKS = Networks(
    {"clinic": ["10.0.0.0/8", "2001:db8::/32"], "reading-room": ["10.1.2.0/24"], "everything-else": ["0.0.0.0/0"]}
)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.9.9.9", "clinic"),
        ("10.1.2.3", "reading-room"),
        ("192.0.2.1", "everything-else"),
        ("::ffff:10.1.2.3", "reading-room"),
        ("2001:db8::1", "clinic"),
        ("2001:db9::1", ""),
        ("", ""),
        ("10.1.2.3:443", ""),
        ("fe80::1%eth0", ""),
    ],
)
def test_the_narrowest_network_gives_the_name(address, name):
    assert NETWORKS.name(address) == name
    assert NETWORKS.name(address) == name


def test_without_networks_no_address_has_a_name():
    assert Networks({}).name("10.1.2.3") == ""


@pytest.mark.parametrize(
    ("moment", "local"),
    [
        (datetime(2026, 1, 4, 23, 30, tzinfo=UTC), {"date": "2026-01-05", "weekday": "monday", "time": "00:30"}),
        (datetime(2026, 7, 5, 23, 30, tzinfo=UTC), {"date": "2026-07-06", "weekday": "monday", "time": "01:30"}),
    ],
)
def test_local_time_is_the_sites_summer_time_included(moment, local):
    there = moment.astimezone(ZoneInfo("Europe/Berlin"))
    environment = Environment(site="s", origin="", network="", local=there)
    assert environment.to_wire()["local"] == local
