"""What one event says happened to which row: CDC facts 1 to 11, record by record."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from fieldwarden.connectors.debezium.decoding.changes import Note
from fieldwarden.engine.change import UNKNOWN
from fieldwarden.engine.errors import SchemaDrift
from tests.unit.debezium.records import (
    ID,
    INT,
    TEXT,
    TOPIC,
    change,
    decoded,
    decoder,
    key,
    payload,
    record,
    stream,
    struct,
    value,
    wrapped,
)

COLUMNS: dict[str, Any] = {**ID, "v": TEXT}
DATED: dict[str, Any] = {**ID, "v": {"type": "string", "name": "io.debezium.time.IsoDate"}}
LONG = "a value that is long enough to be stored apart"
MARK = "__debezium_unavailable_value"


def row(v: str | None = "a", number: int = 1) -> dict[str, Any]:
    return {"id": number, "v": v}


@pytest.mark.parametrize(
    ("op", "snapshot", "operation"),
    [
        ("c", "false", "insert"),
        ("u", "false", "update"),
        ("c", None, "insert"),
        ("u", False, "update"),
        *[
            ("r", said, "observe")
            for said in ("true", "first", "first_in_data_collection", "last", "incremental", True)
        ],
        ("c", "last_in_data_collection", "observe"),
    ],
)
def test_1_9_operations_and_snapshot_rows(op: str, snapshot: Any, operation: str) -> None:
    said = change(decoder(), value(op, COLUMNS, None, row(), snapshot=snapshot))
    assert said.operation == operation
    assert said.values == ("1", "a")


def test_a_change_says_when_and_in_which_transaction() -> None:
    said = change(decoder(), value("u", COLUMNS, None, row()))
    assert (said.at, said.transaction, said.echo, said.position) == (1700000000123456, "77", None, "0001.29")
    assert said.place == "crm.public.account/3@41"


def test_10_a_snapshot_row_is_an_observation_of_no_time_and_no_echo() -> None:
    said = change(decoder(), value("r", COLUMNS, None, row(), snapshot="incremental", txId=None))
    assert (said.at, said.transaction, said.echo) == (None, "", False)


def test_a_topic_tells_all_streams_of_its_table_in_one_shape() -> None:
    phone, email = (replace(stream("id", name), name=name, table="public.account") for name in ("v", "w"))
    columns = ID | {"v": TEXT, "w": TEXT}
    of = decoder(phone, email)
    relation = change(of, value("u", columns, None, {"id": 1, "v": "a", "w": "b"})).relation
    assert (relation.stream, [each.stream for each in relation.siblings]) == ("v", ["w"])
    assert {each.columns for each in (relation, *relation.siblings)} == {("id", "v", "w")}
    undecoded = change(of, b"not JSON").relation
    assert (undecoded.stream, [each.stream for each in undecoded.siblings]) == ("v", ["w"])


def test_an_older_connector_tells_only_milliseconds() -> None:
    assert change(decoder(), value("u", COLUMNS, None, row(), ts_us=None)).at == 1700000000123000


def test_mysql_is_never_written_so_nothing_is_an_echo() -> None:
    made = decoder(stream("id", "v", name="shop.account"), database="mysql")
    said = change(made, value("u", COLUMNS, None, row(), txId=None, gtid="g:7"), topic="crm.shop.account")
    assert (said.echo, said.transaction) == (False, "g:7")


def test_1_a_truncate_has_no_key_and_no_values() -> None:
    said = decoder().decode(record(None, value("t", COLUMNS, None, None)), "p")
    assert said is not None
    assert not isinstance(said, Note)
    assert (said.operation, said.values) == ("truncate", ())


def test_1_a_logical_message_says_nothing_of_a_row() -> None:
    assert decoded(decoder(), value("m", COLUMNS, None, None)) is None


def test_4_a_tombstone_says_nothing() -> None:
    assert decoded(decoder(), None) is None


def test_a_delete_carries_its_key_from_the_records_key_and_nothing_else() -> None:
    said = change(decoder(), value("d", COLUMNS, row(""), None))
    assert (said.operation, said.values) == ("delete", ("1", UNKNOWN))


class TestPrimaryKeyUpdates:
    def test_2_a_delete_that_names_the_new_key_is_a_rekey(self) -> None:
        headers = [("__debezium.newkey", b'{"id":9}')]
        said = change(decoder(), value("d", COLUMNS, row(""), None), headers=headers)
        assert said.operation == "rekey"
        assert (said.old_values, said.values) == (("1", UNKNOWN), ("9", UNKNOWN))

    def test_2_the_new_key_may_come_with_its_schema(self) -> None:
        headers = [("__debezium.newkey", key(id=9))]
        assert change(decoder(), value("d", COLUMNS, row(), None), headers=headers).values[0] == "9"

    @pytest.mark.parametrize(("partitions", "follows"), [({}, True), ({TOPIC: 1}, False), ({TOPIC: 2}, True)])
    def test_2_the_row_under_its_new_key_waits_only_where_it_may_overtake(self, partitions: Any, follows: bool) -> None:
        made = decoder()
        made.partitions.update(partitions)
        said = change(made, value("c", COLUMNS, None, row()), headers=[("__debezium.oldkey", b'{"id":0}')])
        assert (said.operation, said.follows_rekey) == ("insert", follows)

    @pytest.mark.parametrize(("partitions", "follows"), [({}, True), ({TOPIC: 1}, False), ({TOPIC: 2}, True)])
    def test_2_positions_under_the_new_key_may_be_those_of_another_partition(
        self, partitions: Any, follows: bool
    ) -> None:
        made = decoder()
        made.partitions.update(partitions)
        said = change(made, value("d", COLUMNS, row(""), None), headers=[("__debezium.newkey", b'{"id":9}')])
        assert (said.operation, said.follows_rekey) == ("rekey", follows)

    def test_2_a_composite_key_is_rekeyed_whole(self) -> None:
        made = decoder(stream("a", "b", "v", key=("b", "a")))
        columns = {"a": INT, "b": TEXT, "v": TEXT}
        headers = [("__debezium.newkey", b'{"a":2,"b":"y"}')]
        said = change(made, value("d", columns, None, None), key(a=1, b="x"), headers=headers)
        assert said.relation.columns == ("a", "b", "v")
        assert (said.old_values, said.values) == (("1", "x", UNKNOWN), ("2", "y", UNKNOWN))


class TestBefore:
    def test_3_5_a_whole_before_fills_what_was_left_out(self) -> None:
        said = change(decoder(), value("u", COLUMNS, row(LONG), row(MARK)))
        assert said.values == ("1", LONG)

    @pytest.mark.parametrize("stand_in", [None, "", "new", MARK])
    def test_3_a_partial_before_is_no_news(self, stand_in: Any) -> None:
        """With a replica identity other than FULL, Debezium fills `before` with nulls, defaults and empty values."""
        columns = {**ID, "v": {**TEXT, "default": "new"}}
        assert change(decoder(), value("u", columns, row(stand_in), row(MARK))).values == ("1", UNKNOWN)

    def test_3_a_long_default_is_no_news_either(self) -> None:
        columns = {**ID, "v": {**TEXT, "default": LONG}}
        assert change(decoder(), value("u", columns, row(LONG), row(MARK))).values == ("1", UNKNOWN)


class TestNotes:
    def test_4_a_heartbeat(self) -> None:
        made = decoder()
        note = decoded(made, wrapped(struct({"ts_ms": INT}), {"ts_ms": 5}), topic="__debezium-heartbeat.crm")
        assert note == Note("heartbeat", {"ts_ms": 5})
        assert made.streaming

    @pytest.mark.parametrize(
        ("kind", "over"), [("COMPLETED", True), ("SKIPPED", True), ("STARTED", False), ("ABORTED", False)]
    )
    def test_16_a_notification_tells_of_the_initial_snapshot(self, kind: str, over: bool) -> None:
        made = decoder()
        content = {"aggregate_type": "Initial Snapshot", "type": kind, "id": "x"}
        note = decoded(made, wrapped(struct({}), content), topic="crm.fieldwarden-notifications")
        assert isinstance(note, Note)
        assert (note.kind, note.content, note.snapshot_over, made.streaming) == ("notification", content, over, over)

    def test_16_another_snapshot_is_not_the_initial_one(self) -> None:
        assert not Note("notification", {"aggregate_type": "Incremental Snapshot", "type": "COMPLETED"}).snapshot_over

    def test_11_transaction_metadata(self) -> None:
        note = decoded(decoder(), b'{"status":"END","id":"7:9","event_count":2}', topic="crm.transaction")
        assert note == Note("transaction", {"status": "END", "id": "7:9", "event_count": 2})

    def test_4_the_schema_change_topic_is_named_exactly_as_the_prefix(self) -> None:
        note = decoded(decoder(), b'{"ddl":"alter table"}', topic="crm")
        assert isinstance(note, Note)
        assert note.kind == "schema"

    def test_a_topic_of_no_stream_and_rubbish_in_a_side_topic_say_nothing(self) -> None:
        assert decoded(decoder(), b"x", topic="crm.public.other") is None
        assert decoded(decoder(), b"\xff", topic="__debezium-heartbeat.crm") is None


@pytest.mark.parametrize(
    ("snapshot", "streaming"),
    [
        ("first", False),
        ("true", False),
        ("last_in_data_collection", False),
        ("last", True),
        ("incremental", True),
        (None, True),
    ],
)
def test_9_when_the_initial_snapshot_is_known_to_be_over(snapshot: Any, streaming: bool) -> None:
    made = decoder()
    change(made, value("r" if snapshot else "c", COLUMNS, None, row(), snapshot=snapshot))
    assert made.streaming is streaming


class TestShapes:
    def test_only_the_wanted_columns_are_read_in_the_tables_order(self) -> None:
        said = change(decoder(), value("c", {"x": TEXT, "v": TEXT, **ID, "y": INT}, None, {"x": "", **row(), "y": 3}))
        assert (said.relation.columns, said.relation.types, said.values) == (
            ("v", "id"),
            ("text", "integer"),
            ("a", "1"),
        )

    def test_a_new_column_that_nobody_maps_keeps_the_relation(self) -> None:
        made = decoder()
        first = change(made, value("c", COLUMNS, None, row()))
        wider = change(made, value("c", {**COLUMNS, "more": INT}, None, {**row(), "more": 5}))
        again = change(made, value("c", COLUMNS, None, row("b")))
        assert first.relation is wider.relation is again.relation
        assert again.values == ("1", "b")

    def test_a_column_of_another_type_makes_a_new_relation(self) -> None:
        made = decoder()
        change(made, value("c", COLUMNS, None, row()))
        retyped = change(made, value("c", {**ID, "v": INT}, None, {"id": 1, "v": 5}))
        assert (retyped.relation.types, retyped.values) == (("integer", "integer"), ("1", "5"))

    def test_a_mapped_column_that_is_gone_stops_the_stream(self) -> None:
        with pytest.raises(SchemaDrift, match=r"public\.account has no column v any more"):
            change(decoder(), value("c", ID, None, {"id": 1}))

    @pytest.mark.parametrize("record_key", [key(code="x"), key(id=1, code="x"), b'{"code":"x"}'])
    def test_a_topic_whose_key_is_not_the_streams_key_stops_the_stream(self, record_key: bytes) -> None:
        with pytest.raises(SchemaDrift, match=r"the mapping's key is id"):
            change(decoder(), value("c", COLUMNS, None, row()), record_key)

    def test_a_topic_without_keys_stops_the_stream(self) -> None:
        with pytest.raises(SchemaDrift, match="no key"):
            decoder().decode(record(None, value("u", COLUMNS, None, row())), "p")

    def test_a_name_with_a_quote_in_it_is_found(self) -> None:
        name = 'odd "name\\'
        said = change(decoder(stream("id", name)), value("c", {**ID, name: TEXT}, None, {"id": 1, name: "a"}))
        assert said.values == ("1", "a")


class TestUndecoded:
    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (b"\xff\xfe", "not valid JSON"),
            (b"", "not valid JSON"),
            (b"[1]", "not Debezium's envelope"),
            (b'{"id": 1, "v": "a"}', "ExtractNewRecordState"),
            (wrapped(struct(COLUMNS), row()), "ExtractNewRecordState"),
            (wrapped({"type": 5}, {}), "ExtractNewRecordState"),
            (wrapped("rubbish", {}), "JsonConverter"),
            (value("z", COLUMNS, None, row()), "`op`"),
            (value("c", COLUMNS, None, None), "`after` is missing"),
            (value("c", COLUMNS, None, {"id": "x", "v": "a"}), "does not fit its schema"),
            (value("c", {**ID, "v": {"type": "bytes"}}, None, row("*")), "column v does not hold what its type says"),
            (b"\0\0\0", "too short"),
        ],
    )
    def test_it_carries_its_key_its_bytes_and_a_reason_without_values(self, bad: bytes, reason: str) -> None:
        said = change(decoder(), bad, headers=[("h", b"x")])
        assert said.undecoded is not None
        assert said.undecoded.reason.startswith("crm.public.account/3@41: ")
        assert reason in said.undecoded.reason
        assert (said.undecoded.key, said.undecoded.value, said.undecoded.headers) == (key(id=1), bad, (("h", b"x"),))
        assert (said.relation.columns, said.relation.types, said.values) == (("id",), ("text",), ("1",))

    def test_an_unreadable_key_is_unknown(self) -> None:
        said = change(decoder(), value("d", COLUMNS, None, None), b"rubbish")
        assert said.undecoded is not None
        assert said.values == (UNKNOWN,)

    def test_a_record_that_the_caller_refuses(self) -> None:
        said = decoder().refuse(record(key(id=1), b"x"), "p", "no schema 7")
        assert said is not None
        assert said.undecoded is not None
        assert (said.undecoded.reason, said.values) == ("crm.public.account/3@41: no schema 7", ("1",))


class TestKnownSchemas:
    """The schema part of a record is compared as bytes: that must never misread another schema."""

    def test_a_schema_that_differs_in_one_character_is_another(self) -> None:
        made = decoder()
        change(made, value("c", COLUMNS, None, row("12")))
        other = value(
            "c", {**ID, "v": {"type": "string", "name": "io.debezium.time.IsoDate"}}, None, row("2024-02-29Z")
        )
        assert change(made, other).values == ("1", "2024-02-29")

    def test_spaces_and_the_order_of_the_parts_do_not_matter(self) -> None:
        made = decoder()
        known = value("c", COLUMNS, None, row())
        parts = json.loads(known)
        for spelled in (
            json.dumps(parts),
            json.dumps({"payload": parts["payload"], "schema": parts["schema"]}),
            known.decode() + "\n",
        ):
            assert change(made, known).values == ("1", "a")
            assert change(made, spelled.encode()).values == ("1", "a")

    def test_a_second_schema_behind_the_payload_is_the_one_that_counts(self) -> None:
        made = decoder()
        known = value("c", COLUMNS, None, row("2024-02-29Z"))
        change(made, known)
        other = json.loads(value("c", DATED, None, None))
        twice = known[:-1] + b',"schema":' + json.dumps(other["schema"]).encode() + b"}"
        assert change(made, twice).values == ("1", "2024-02-29")

    def test_payload_cut_short_behind_a_known_schema(self) -> None:
        made = decoder()
        known = value("c", COLUMNS, None, row())
        change(made, known)
        for end in range(len(known) - 60, len(known)):
            assert change(made, known[:end]).undecoded is not None


def test_14_a_null_is_null_even_where_the_column_has_a_default() -> None:
    columns = {**ID, "v": {**TEXT, "default": "new"}}
    assert change(decoder(), value("c", columns, None, row(None))).values == ("1", None)


def test_a_plain_envelope_has_the_same_payload() -> None:
    said = change(decoder(), json.dumps(payload("u", None, row())).encode(), b'{"id":1}')
    assert (said.operation, said.values) == ("update", ("1", "a"))
