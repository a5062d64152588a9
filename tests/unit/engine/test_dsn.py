"""Whatever is wrong with a connection string, no piece of its password is said: not by libpq, not by us."""

from __future__ import annotations

import contextlib
import traceback
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from fieldwarden.connectors.debezium.connect.registration import configuration, masked
from fieldwarden.connectors.postgres.session import conninfo
from fieldwarden.engine.bugs import described
from fieldwarden.engine.dsn import read
from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.conninfo import lasting
from fieldwarden.rules.scrubbing import scrub
from fieldwarden.rules.secret import Secret
from tests.unit.debezium.test_registration import KAFKA, system

ODD = "@:/?#%&=' \\[]\"{}$`,;"
RUN = "QXZJKVWY"
PIECE = 4
SHOWN = ("nobody", "shopdb", "127.0.0.1", "::1", "password", "sslpassword", "connect_timeout", "postgresql", "sslmode")


def passwords() -> st.SearchStrategy[str]:
    """Odd characters between runs that stand nowhere else."""
    run = st.text(RUN, min_size=1, max_size=8)
    return st.lists(st.one_of(run, st.text(ODD, min_size=1, max_size=2)), min_size=2, max_size=6).map("".join)


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, str]:
    """(connection string, its password), spelled rightly or wrongly, as people spell them."""
    password = draw(passwords())
    quoted = password.replace("\\", "\\\\").replace("'", "\\'")
    spelled = draw(st.sampled_from([password, quote(password, safe=""), quote(password, safe="/:@"), quoted]))
    hostless = spelled.replace(",", ";").replace("@", ";")  # with either it may well be a password's end, and a host
    scheme = draw(st.sampled_from(["postgresql", "postgres", "POSTGRESQL", "mysql", "jdbc:postgresql"]))
    host = draw(st.sampled_from(["127.0.0.1:1", "[::1]:1", "127.0.0.1:1,[::1]:2", "", "%2Fno%2Fwhere"]))
    name = draw(st.sampled_from(["password", "sslpassword", "PASSWORD"]))
    query = draw(st.sampled_from(["", "?connect_timeout=2", "?connect_timeout=2&sslmode=disable"]))
    form = draw(
        st.sampled_from(
            [
                f"{scheme}://nobody:{spelled}@{host}/shopdb{query}",
                f"{scheme}://nobody:{hostless}/shopdb{query}",
                f"{scheme}://:{spelled}@{host}/shopdb{query}",
                f"{scheme}://{host}/shopdb?{name}={spelled}&user=nobody&connect_timeout=2",
                f"{scheme}://nobody@{host}?{name}={spelled}",
                f"host=127.0.0.1 port=1 user=nobody {name}={spelled} connect_timeout=2",
                f"host=127.0.0.1 port=1 user=nobody {name}='{spelled}' connect_timeout=2",
                f"host=127.0.0.1 port=1 user=nobody {name} = '{spelled}",
                f"{name}={spelled}",
            ]
        )
    )
    return form, password


def said(dsn: str, use: Any) -> str:
    """All that a use of the string brings up, as every way of showing it has it."""
    try:
        done = use(Secret(dsn))
    except BaseException as error:
        shown = [str(error), repr(error), getattr(error, "suggestion", ""), described(error)]
        if isinstance(error, EnvironmentUnfit):  # in our own words, so the interpreter's traceback says no more
            shown.append("".join(traceback.format_exception(error)))
        return "\n".join(shown)
    return str(done)


def connecting(dsn: Secret) -> str:
    """As a connector does, but for the waiting: whoever listens at port 1 is nobody."""
    given = conninfo(dsn)
    with contextlib.suppress(EnvironmentUnfit):
        try:
            psycopg.connect(given).close()
        except psycopg.Error as error:
            return scrub(str(error))
    return ""


def registering(dsn: Secret) -> str:
    return str(masked(configuration(system({}, database="mysql"), dsn.reveal(), KAFKA)))


@settings(max_examples=200)
@given(planted())
def test_no_piece_of_a_password_is_said_whatever_is_wrong(case: tuple[str, str]) -> None:
    dsn, password = case
    ways = (
        lambda given: str(given) and None,
        lambda given: read(given, conninfo_to_dict) and None,
        lambda given: lasting(given) and None,
        connecting,
        registering,
    )
    for use in ways:
        shown = said(dsn, use)
        found = [piece for piece in pieces(password) if piece in shown and not any(piece in each for each in SHOWN)]
        assert not found, (found, shown)
    shown = scrub(f'cannot use "{dsn}" here')  # it was in hand
    assert not [piece for piece in pieces(password) if piece in shown]


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:p@ss@h/d",
        "postgresql://u:pa/ss@h/d",
        "postgresql://u:p@s/s@h/d",
        "postgresql://u:12/ss@h",
        "postgresql://u:12/ss@h/d",
        "postgresql://u:pa#s/s@h/d",
        "postgresql://h?password=p@ss",
        "postgresql://h:5432?user=u&password=p@ss",
        "postgresql://user:secret/d",
        "postgresql://user:secret",
        "postgresql://u:70000/d",
        "host=p@ss user=u",
    ],
)
def test_a_string_that_is_read_otherwise_than_meant_is_refused_with_advice(dsn: str) -> None:
    with pytest.raises(EnvironmentUnfit) as error:
        read(dsn, conninfo_to_dict, " of crm")
    assert "of crm may be meant otherwise than it is read" in error.value.message
    assert "%40" in error.value.suggestion


@pytest.mark.parametrize(
    ("dsn", "settings"),
    [
        ("postgresql://u:p%40s%2Fs@h:5/d", {"user": "u", "password": "p@s/s", "host": "h", "port": "5", "dbname": "d"}),
        ("postgres://u:a:b@h/d", {"user": "u", "password": "a:b", "host": "h", "dbname": "d"}),
        ("postgresql://u:p#w@h/d", {"user": "u", "password": "p#w", "host": "h", "dbname": "d"}),
        ("postgresql://u:p?w=1@h/d", {"user": "u", "password": "p?w=1", "host": "h", "dbname": "d"}),
        ("postgresql://u:p@h:5/d@x", {"user": "u", "password": "p", "host": "h", "port": "5", "dbname": "d@x"}),
        ("postgresql://[::1]/d@x", {"host": "::1", "dbname": "d@x"}),
        ("postgresql://h/d#b", {"host": "h", "dbname": "d#b"}),
        ("postgresql://[::1]:5,h2:6/d", {"host": "::1,h2", "port": "5,6", "dbname": "d"}),
        ("postgresql://u@/d?host=/tmp/a%40b", {"user": "u", "dbname": "d", "host": "/tmp/a@b"}),
        ("postgresql://u@h/d?password=a@b", {"user": "u", "host": "h", "dbname": "d", "password": "a@b"}),
        (r"host=h password='it\'s @ /'", {"host": "h", "password": "it's @ /"}),
        ("host=/tmp,/var user=u", {"host": "/tmp,/var", "user": "u"}),
        ("service=erp", {"service": "erp"}),
        ("", {}),
    ],
)
def test_a_sound_string_is_read_as_libpq_reads_it(dsn: str, settings: dict[str, str]) -> None:
    assert read(dsn, conninfo_to_dict) == settings


def pieces(text: str) -> set[str]:
    found = {text[place : place + PIECE] for place in range(len(text) - PIECE + 1)}
    return {piece for piece in found if set(piece) & set(RUN)}  # four blanks stand in any traceback
