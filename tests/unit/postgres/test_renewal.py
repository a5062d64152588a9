"""When a connection is replaced for the buffer that it keeps, and at what price for the server."""

from __future__ import annotations

from fieldwarden.connectors.postgres.reading.renewal import Renewal

MIB = 1 << 20


def test_only_what_is_large_is_worth_it() -> None:
    assert not Renewal().due(4 * MIB - 1, now=0.0)
    assert Renewal().due(4 * MIB, now=0.0)


def test_what_the_server_reads_again_is_bounded_per_second() -> None:
    renewal = Renewal()
    assert renewal.allowed(100 * MIB, now=5.0)
    assert not renewal.due(50 * MIB, now=14.9)
    assert renewal.due(50 * MIB, now=15.0)


def test_where_the_server_would_read_much_again_it_is_asked_again_later() -> None:
    renewal = Renewal()
    assert not renewal.allowed(257 * MIB, now=5.0)
    assert not renewal.due(50 * MIB, now=14.9)
    assert renewal.due(50 * MIB, now=15.0)
    assert renewal.allowed(256 * MIB, now=15.0)
