"""No text of another program's shows a secret, however it is spelled; and a secret shows itself as ***."""

from __future__ import annotations

import base64
import copy
import json
import logging
import pickle
import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldwarden.rules.scrubbing import scrub
from fieldwarden.rules.secret import Secret, revealed

PLANTED = "kX9#vQ2z"
"""Never made a Secret here, so that only its surroundings give it away."""


@pytest.mark.parametrize(
    "text",
    [
        "host=db password=kX9#vQ2z user=x",
        "host=db PASSWORD = 'kX9#vQ2z'",
        "password='it''s kX9#vQ2z' host=db",
        r"password='it\'s \\ kX9#vQ2z' host=db",
        r"password=two\ words\ kX9#vQ2z host=db",
        "password='open kX9#vQ2z",
        "sslpassword=kX9#vQ2z",
        "sslpassword = 'blank kX9#vQ2z'",
        "postgres://u:kX9#vQ2z@h/d",
        "postgresql://u:kX9#vQ2z@[::1]:5432,h2:5433/d",
        "postgresql://u:a@kX9#vQ2z@h/d",
        "postgresql://u:a/kX9#vQ2z@h/d",
        "postgresql://u:a:kX9#vQ2z@h/d",
        "postgresql://:kX9#vQ2z@h",
        "postgresql://h/d?user=u&password=kX9#vQ2z&sslmode=require",
        "postgresql://h/d?sslpassword=kX9#vQ2z",
        "jdbc:postgresql://h/d?user=u&password=kX9#vQ2z",
        "jdbc:mysql://u:kX9#vQ2z@h/d",
        "jdbc:oracle:thin:scott/kX9#vQ2z@//h:1521/d",
        "https://kX9#vQ2z@registry.example/",
        '{"database.password": "kX9#vQ2z", "database.user": "u"}',
        "{database.password=kX9#vQ2z, topic.prefix=crm}",
        "basic.auth.user.info=u:kX9#vQ2z",
        'sasl.jaas.config=x.PlainLoginModule required username="u" password="kX9#vQ2z";',
        "ssl.key.password: kX9#vQ2z",
        "Authorization: Basic kX9#vQ2z",
        "authorization: Bearer kX9#vQ2z",
        "got 401 for token=kX9#vQ2z",
        "-----BEGIN PRIVATE KEY-----\\nkX9#vQ2z\\n-----END PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nkX9#vQ2z",
    ],
)
def test_a_secret_is_known_by_where_it_stands(text: str) -> None:
    shown = scrub(text)
    assert "***" in shown
    assert not pieces(PLANTED) & pieces(shown), shown


@pytest.mark.parametrize(
    "text",
    [
        "check hub.dsn in fieldwarden.yaml: is the server up, are user, password and database right?",
        'connection to server at "127.0.0.1", port 1 failed: FATAL:  password authentication failed for user "bob"',
        "mend `kafka: registry: username:` and `password:`",
        "postgresql://bob@db.example:5432/crm",
        "run.listening http://127.0.0.1:8080/metrics",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrub(text) == text


@given(st.text(min_size=6, max_size=30).filter(lambda text: text.strip() == text and not text.isspace()))
def test_a_secret_that_was_in_hand_is_known_in_every_spelling(text: str) -> None:
    secret = f"{text}kX9~vQ2z"
    Secret(secret)
    for spelled in (
        secret,
        quote(secret, safe="", errors="surrogatepass"),
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        base64.b64encode(secret.encode("utf-8", "surrogatepass")).decode(),
    ):
        assert scrub(f"no idea what {spelled} is") in (
            "no idea what *** is",
            "no idea what ***= is",
            "no idea what ***== is",
        )


IN_ITS_PLACE = (
    f"password={PLANTED}",
    f"password= {PLANTED}",
    f"sslpassword='two words {PLANTED}'",
    f'"database.password": "two words {PLANTED}"',
    f'{{"token":"a@b, {PLANTED}","host":"h"}}',
    rf"password='it\'s {PLANTED}'",
    f"postgresql://u:{PLANTED}@h/d",
    f"postgresql://u:a:/@{PLANTED}@h/d",
    f"https://{PLANTED}@h/",
    f"jdbc:oracle:thin:scott/{PLANTED}@//h:1521/d",
    f"jdbc:oracle:thin:scott/a@{PLANTED}@//h:1521/d",
    f"Authorization: Basic {PLANTED}",
    f"sasl.jaas.config=x.Login required password='a;b {PLANTED}';",
    f"-----BEGIN PRIVATE KEY-----\n{PLANTED}\n-----END PRIVATE KEY-----",
)
AROUND = (
    *(
        "password=",
        "password='",
        'token="',
        "'",
        '"',
        "''",
        "\\",
        "`",
        "=",
        ":",
        ";",
        "@",
        "/",
        " ",
        "\n",
        "***",
        "x@y",
    ),
    *(
        "://",
        "://u:",
        "https://",
        "jdbc:oracle:thin:",
        "jdbc:oracle:thin:u/",
        "authorization: ",
        "basic ",
        "jaas.config=",
    ),
    *("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "{", "}", ",", "host", "\u00e9"),
)


@settings(max_examples=400)
@given(st.data())
def test_a_secret_is_blotted_out_whatever_stands_around_it_and_scrubbing_says_the_same_twice(
    data: st.DataObject,
) -> None:
    around = st.lists(st.sampled_from(AROUND) | st.text(max_size=3), max_size=8).map("".join)
    before, after = data.draw(around), data.draw(around)
    once = scrub(f"{before} {data.draw(st.sampled_from(IN_ITS_PLACE))} {after}")
    assert not pieces(PLANTED) & pieces(once), once
    assert scrub(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "jdbc:oracle:x:" * 6_000,
        "jdbc:oracle:x:u/" * 6_000,
        "://" * 20_000,
        "://a:" * 20_000,
        "@" + "://a:" * 20_000,
        "https://" * 12_000,
        "password" * 15_000,
        "token" * 20_000 + " " * 20_000 + "=",
        "password=x" * 10_000,
        "password= " * 10_000,
        "password=''" * 10_000,
        "password='password=\"" * 5_000,
        "password='" + "\\'" * 50_000,
        "authorization:" * 7_000,
        "authorization: basic " * 5_000,
        "jaas.config=" * 8_000,
        "-----BEGIN PRIVATE KEY-----" * 4_000,
        "a" * 100_000 + "://",
        "'" * 100_000,
    ],
    ids=lambda text: text[:30],
)
def test_scrubbing_takes_time_in_proportion_to_the_text(text: str) -> None:
    began = time.thread_time()
    scrub(text)
    assert time.thread_time() - began < 1, "seconds of a busy machine; it takes a tenth of one"


def test_a_secret_shows_itself_as_stars(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret("hunter2hunter2")
    logging.getLogger("x").warning("%s %r", secret, {"k": [secret]})
    shown = f"{secret} {secret!r} {secret:>5} {secret!s:.2}" + str(secret) + repr([secret]) + caplog.text
    assert "hunter2" not in shown
    assert "***" in shown
    with pytest.raises(TypeError) as error:
        json.dumps({"dsn": secret})
    assert "hunter2" not in str(error.value)
    assert not hasattr(secret, "__dict__")


def test_secrets_compare_by_their_text_and_travel_to_other_processes() -> None:
    secret = Secret.of("hunter2hunter2")
    assert Secret.of(secret) is secret
    assert secret == Secret("hunter2hunter2") == copy.copy(secret) == pickle.loads(pickle.dumps(secret))
    assert secret != "hunter2hunter2"
    assert len({secret, Secret("hunter2hunter2")}) == 1
    assert not Secret("")
    assert revealed(secret) == revealed("hunter2hunter2") == "hunter2hunter2"


def pieces(text: str, size: int = 4) -> set[str]:
    return {text[place : place + size] for place in range(len(text) - size + 1)}
