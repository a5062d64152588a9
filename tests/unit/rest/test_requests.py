"""What is put into a request is a value there and nothing more, whatever a row's key or a vendor's token holds."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldwarden.connectors.rest.description import ErrorRule
from fieldwarden.connectors.rest.templates import in_body, in_header, in_path, in_text, names
from fieldwarden.connectors.rest.verdicts import judge


@given(st.text(min_size=1))
def test_a_key_is_one_piece_of_a_path(key: str) -> None:
    if not key.strip("."):
        with pytest.raises(ValueError, match="no piece of a path"):
            in_path("/customers/{key}/lines", {"key": key})
        return
    try:
        key.encode()
    except UnicodeEncodeError:
        return
    path = in_path("/customers/{key}/lines", {"key": key})
    first, customers, piece, lines = path.split("/")
    assert (first, customers, lines) == ("", "customers", "lines")
    assert unquote(piece) == key


@given(st.text())
def test_a_key_does_not_end_the_text_that_it_stands_in(key: str) -> None:
    doubled = in_text("id = '{key}'", {"key": key}, "doubled")
    assert doubled[len("id = '") : -1].replace("''", "").count("'") == 0
    assert doubled[len("id = '") : -1].replace("''", "'") == key
    escaped = in_text("id = '{key}'", {"key": key}, "backslash")[len("id = '") : -1]
    assert escaped.replace("\\\\", "").replace("\\'", "").count("'") == 0


@given(st.text())
def test_a_token_does_not_begin_another_header(token: str) -> None:
    assert not {"\r", "\n", "\0"} & {*in_header("{token}", {"token": token})}


@given(st.text())
def test_a_value_in_a_body_is_a_text_of_it(value: str) -> None:
    body = in_body({"filters": [{"value": "x{token}"}]}, {"token": value})
    assert json.loads(json.dumps(body)) == {"filters": [{"value": f"x{value}"}]}


def test_what_is_put_in_is_not_read_again() -> None:
    assert in_text("{a}{b}", {"a": "{b}", "b": "1"}) == "{b}1"
    assert [*names("{a} {A} {} {a_1} ${a}")] == ["a", "a_1", "a"]


MEANINGS = {
    "fine": (200, 204),
    "halt": (302, 400, 403),
    "login": (401,),
    "gone": (404,),
    "rebaseline": (410,),
    "busy": (429, 503),
    "retry": (408, 425, 500, 502, 504, 599),
}


@pytest.mark.parametrize(("meaning", "status"), [(each, one) for each, all in MEANINGS.items() for one in all])
def test_what_a_status_means_where_the_vendors_file_says_nothing(meaning: str, status: int) -> None:
    assert judge(status, None, ()).meaning == meaning


def test_the_vendors_rules_go_before_and_the_first_that_fits_is_the_one() -> None:
    rules = [
        ErrorRule.model_validate(each)
        for each in (
            {"http": 400, "when": "@.code == 'SSS_REQUEST_LIMIT_EXCEEDED'", "do": "busy"},
            {"http": [400, 422], "do": "halt", "because": "mend it"},
            {"when": "@.error", "do": "retry"},
        )
    ]
    assert judge(400, {"code": "SSS_REQUEST_LIMIT_EXCEEDED"}, rules).meaning == "busy"
    assert judge(400, None, rules) == ("halt", "mend it")
    assert judge(200, {"error": "inside"}, rules).meaning == "retry"
    assert judge(200, {"data": []}, rules).meaning == "fine"
