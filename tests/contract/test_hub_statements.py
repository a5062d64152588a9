"""No statement of the hub reads more the longer it has run: each, with an example, on tables of many rows.

Plans are those of the hub's own connections (`plans`), made once for all values and made for these; what only people
ask is planned as their connections do it. A new statement without an example fails. Those that count or list
everything say so here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from fieldwarden.engine.hub.queries import QUERIES
from fieldwarden.engine.record import LARGE

MANY = 20_000
BOUND = 2000
"""Rows that a call may read whose example names no more than ten rows."""
UTILITY = ("create ", "set ", "copy ")
SOME = [f"01900000-0000-7000-8000-{number:012x}" for number in range(1, 6)]
IDS = "{" + ",".join(SOME) + "}"
KEYS = "{K00001,K00002,K00003,unknown}"
CRM = ("crm", "public.account")
NAMED = {"system": "crm", "stream": "public.account"}

EXAMPLES: dict[str, Sequence[Any] | Mapping[str, Any]] = {
    "lease": ["crm", "crm"],
    "see_anew": ["nobody", "nobody"],
    "forget_seen": ["nobody"],
    "note": ["crm", "crm", "halted", "why"],
    "fence": ["crm"],
    "links": [*CRM, KEYS],
    "any_set_aside": ["{crm}"],
    "letters": [*CRM, KEYS],
    "held_up": [*CRM, KEYS],
    "project": [],
    "followed": ["crm"],
    "follow": ["crm", "slot", "publication"],
    "mark_key": [],
    "seal_from": [1, "crm"],
    "sealed_from": ["crm"],
    "note_forged": ["crm", 1, "p", "crm xid 1", 1],
    "told_forged": [1, "crm"],
    "forged_marks": [],
    "lock_identity": ["customer"],
    "matches": ["customer", "tax_id", KEYS],
    "lock_records": [IDS],
    "large_record": [SOME[0]],
    "rows_of": {**NAMED, "since": "K10000", "limit": 10},
    "saw": [*CRM, KEYS],
    "unseen": {**NAMED, "keys": KEYS},
    "update_records": [IDS],
    "unlink": [*CRM, KEYS],
    "link": [*CRM, "{K00001,new}", "{" + ",".join(SOME[:2]) + "}"],
    "notes": [IDS],
    "plain_notes": [IDS],
    "large_notes": [SOME[0]],
    "clear_notes": [IDS],
    "forget_match_keys": [IDS],
    "add_match_keys": ["{customer}", "{tax_id}", "{new}", "{" + SOME[0] + "}"],
    "drop_duplicates": [IDS],
    "note_duplicates": ["{customer,customer}", "{tax_id,tax_id}", "{shared,K00009}", "{" + ",".join(SOME[:2]) + "}"],
    "duplicates": [10],
    "vacated": {"ids": IDS},
    "reconsider_alike": [IDS],
    "alike": {"limit": 10, "many": 20},
    "considered": ["{customer}", "{tax_id}", "{K00009}", "{K00009}"],
    "joined": [IDS],
    "apart": [IDS, IDS],
    "join": ["{01900000-0000-7000-8000-000000090000}", "{customer}", "{" + SOME[0] + "}", "{[]}"],
    "joined_rows": [SOME[0]],
    "naming": {
        "id": SOME[1],
        "other": SOME[2],
        "systems": "{crm}",
        "streams": "{public.account}",
        "names": "{payer}",
        "limit": 10,
    },
    "told_identity": [SOME[0], '"event":"joined"', f'"was":"{SOME[1]}"'],
    "entries_of": [SOME[0]],
    "rekeys_of": [SOME[0]],
    "unjoin": ["01900000-0000-7000-8000-000000005000"],
    "rejoin": [SOME[0], IDS],
    "no_longer_apart": {"one": SOME[0], "other": SOME[1]},
    "waiting_rows": ["crm", "public.account", "K00001"],
    "join_on": {"ids": "{" + SOME[0] + "}", "records": "{" + SOME[1] + "}"},
    "keep_apart": SOME[3:],
    "apart_on": {"survivor": SOME[0], "absorbed": SOME[1]},
    "follow_first": {"entity": "invoice", "key": "customer+number", "texts": "{" + SOME[0] + "}"},
    "follow_later": {"entity": "line", "key": "place+invoice", "texts": "{" + SOME[0] + "}"},
    "following": [10],
    "to_reunite": [],
    "followed_on": [IDS],
    "wake_joined": [IDS],
    "duplicate_counts": [],
    "hold_lane": ["crm"],
    "last_act": ["crm"],
    "last_block": ["crm"],
    "add_block": ["crm", 999_999, b"", b"", b"", "book", 1, 0, b""],
    "mark_dirty": {"target": "erp", "records": IDS},
    "mark_suspect": {"target": "erp", "records": IDS},
    "relieve": {"targets": "{erp,erp,erp,erp,erp}", "ids": IDS},
    "wake": ["erp", IDS],
    "intend": ["erp/p/1/1/create", "erp", SOME[0], "public.party", "create", None, None, 1, "{}"],
    "intents": {"target": "erp", "ids": IDS},
    "forget_intents": [["erp/p/1/1/create"]],
    "set_aside": [*CRM, "new", "customer", "data", "why", "p", "{}", False, "{}", None, None, None],
    "keep_aside": ["data", "why", "{}", None, None, None, 7],
    "drop_set_aside": ["{7,8}"],
    "move": {
        "source": "crm", "lane": "crm", "baseline": 1, "changes": 1, "echoes": 1, "state": None, "message": "",
        "rulebook": "book1", "names": "{topic/1}", "epochs": "{1}", "positions": "{p}", "messages": "{NULL}",
    },
    "other_rules": ["book1"],
    "lock_rules": [],
    "hold_applying": [],
    "live_rules": [],
    "begin_rules": ["book1", False],
    "end_onboarding": ["me"],
    "rename_rules": ["book2", "book1"],
    "switch_rules": ["book2", "me", "book1"],
    "position": ["crm", "log"],
    "positions_of": ["crm"],
    "read_part_again": ["p", "crm", "log"],
    "read_streams_again": ["crm"],
    "lock_progress": [],
    "next_records": [None, 10],
    "note_progress": [SOME[0], 1],
    "end_applying": [],
    "live_hash": [],
    "unread": ["{crm,erp}"],
    "how_unread": ["{crm,erp}"],
    "mapped_later": ["{crm}", "{public.account}"],
    "releasable_page": {"source": "crm", "after": 10, "limit": 200},
    "releasable": {"source": "crm", "after": 10, "last": 210, "bytes": 1_000_000},
    "take": ["crm", "me", "{topic/1}"],
    "begin_reading": {"source": "crm", "streams": "{a}", "baseline": 1},
    "note_streams": {"source": "crm", "streams": "{a}", "baseline": 1},
    "forget_until": ["crm"],
    "baseline": ["crm"],
    "begin_again": {"source": "crm", "baseline": 2, "itself": True, "why": "w"},
    "forget_other_parts": {"source": "crm", "names": "{topic/1}"},
    "fence_lanes": ["crm"],
    "begin_parts_again": {"source": "crm", "names": "{topic/1}", "positions": "{p}", "baseline": 2},
    "swept": ["crm", 2],
    "reconsider": ["billing"],
    "read_until": ["crm", "{topic/1}", "{p}"],
    "announce": ["crm", "1", 1],
    "forget_announced": ["crm", 5],
    "announced": ["crm", "{1,2}"],
    "still_aside": ["{7,8}"],
    "rekey": [*CRM, "O1", "K1", "p", True],
    "arrived": [*CRM, KEYS],
    "rekeyed": [*CRM, KEYS],
    "next_keys": [*CRM, KEYS],
    "departed": [*CRM, KEYS],
    "claim_marked": ["erp", "{0,1,2,3}", 3, 10],
    "claim_dirty": ["erp", "{0,1,2,3}", 10],
    "read_records": [IDS],
    "read_plain_records": [IDS],
    "rows_of_records": [IDS],
    "settle_records": [IDS],
    "changed": {"ids": IDS, "revisions": "{1,1,1,1,1}"},
    "moved": {"ids": IDS, "revisions": "{1,1,1,1,1}"},
    "moved_locked": {"ids": IDS, "revisions": "{1,1,1,1,1}"},
    "settle_done": {"target": "erp", "ids": IDS, "marks": "{1,1,1,1,1}"},
    "settle_open": ["erp", IDS],
    "settle_marked_open": ["erp", "{3,4}"],
    "shrink_marked": ["erp", "{3,4}"],
    "drop_empty_marks": ["erp", "{3,4}"],
    "drop_marks": ["erp", "{3,4}"],
    "link_noted": [*CRM, "{new}", "{" + SOME[0] + "}", "{NULL}"],
    "link_created": ["{crm}", "{public.account}", "{new}", "{" + SOME[0] + "}"],
    "sources": [],
    "rebaselined": [],
    "targets": [],
    "put_off": [],
    "unanswered": [],
    "due": ["erp", "{0,1,2,3}"],
    "set_aside_counts": [],
    "ambiguous_counts": [20],
    "record_counts": [],
    "dead_letters": {"kind": None, "system": None, "entity": None, "ids": None, "place": None, "limit": 10},
    "row_name_key": [],
    "rows_named": {"system": "crm", "stream": "public.account", "inner": b"i", "outer": b"o", "digest": "0a1b2c3d4e"},
    "payload": [7],
    "delivery_result": ["erp", SOME[0]],
    "release_changes": ["{7,8}"],
    "release_delivery": ["erp", SOME[0]],
    "discard_delivery": ["erp", SOME[0]],
    "remember_rulebook": ["hash", "body"],
    "refused": [24],
    "held": [24],
    "lock_number": [1, 2],
    "notice_silence": [],
    "forget_worker": {"token": "t", "number": 1},
    "enrol": {"number": 9, "token": "t", "name": "n", "rulebook": "r", "lease": 15},
    "add_duties": ["{source:crm}"],
    "renew": {"token": "t", "lease": 15},
    "workers": [5],
    "duties": [],
    "claim_duty": {"token": "t", "lease": 15, "name": "source:crm", "seen": None, "free": True},
    "give_duty": {"name": "source:crm", "token": "t"},
    "give_all": {"token": "t"},
    "end_sessions": {"mark": " [nobody]"},
    "partitions": [],
    "linked_page": [*CRM, "K10000", 10],
    "known_records": [IDS],
    "record_page": [SOME[0], "{customer}", 10],
    "marks_of": ["erp", IDS],
    "aside_of": [*CRM, KEYS],
    "live_rows": [*CRM],
    "held_deletions": [],
    "held_deletions_of": {"system": "crm", "stream": None, "ids": None, "limit": 10},
    "approve_deletions": ["{7,8}"],
    "discard_deletions": ["{7,8}"],
    "open_inbox": ["crm"],
    "receive_events": {"system": "crm", "last": 30_000, "now": 1, "events": "{E00001,new}", "payloads": "{a,b}"},
    "receive_hints": {"system": "crm", "last": 30_000, "now": 1, "streams": "{s,s}", "keys": "{K15001,new}"},
    "received": {"system": "crm", "number": 2, "new": 1, "known": 1, "now": 1},
    "inbox_after": {"system": "crm", "after": 15_000, "limit": 10, "bytes": 1_000_000},
    "take_hints": {"system": "crm", "taken": 15_000, "number": 15_010},
    "take_events": {"system": "crm", "taken": 15_000, "number": 15_010, "now": 1},
    "inbox_taken": {"system": "crm", "number": 15_010, "gone": 10},
    "forget_events": {"system": "crm", "limit": 10, "before": 10**15},
    "hooks_refused": ["crm", 1],
    "hooks": [],
}  # fmt: skip
WHOLE = {
    "rows_named": "finds by its digest the row of a stream that a person named so, once in a command",
    "switch_rules": "counts the records, once in an apply",
    "targets": "counts what is pending, of every target",
    "put_off": "counts what was tried and is to be tried again, of every target",
    "unanswered": "counts the writes without a result, of which there are few",
    "due": "counts what is due in some shards of a target",
    "set_aside_counts": "counts what is set aside",
    "ambiguous_counts": "counts what is set aside",
    "record_counts": "counts the records",
    "dead_letters": "lists what is set aside and parked, oldest first, by whatever a person asks for",
    "duplicates": "looks through all that are alike",
    "duplicate_counts": "counts all that are alike",
    "follow_later": "looks at all pairs of a key in which an id stands behind another value",
    "naming": "looks through the records that may refer to one, once in a split",
    "marks_of": "asked by `check`, where what is due is looked for in the backlog",
    "refused": "counts the refusals of some hours",
    "held": "counts what was held in some hours",
    "live_rows": "counts a stream's rows, where more of them are deleted than goes through unseen",
    "held_deletions": "counts what is held",
    "held_deletions_of": "lists what is held, by whatever a person asks for",
}
PLANNED_FREELY = {*WHOLE, "sources", "payload", "release_changes", "approve_deletions", "discard_deletions",
                  "rebaselined", "workers", "partitions", "linked_page",
                  "known_records", "record_page", "aside_of", "releasable_page", "inbox_after"}  # fmt: skip
"""Asked on connections that plan as PostgreSQL likes, on tables that it has counted."""

FILL = """
insert into record select id(n), 'customer', 1, 1, false, '{"name":"x"}', '[]' from generate_series(1, 20000) n;
insert into crosswalk (system, stream, key, record, sent)
    select 'crm', 'public.account', key(n), id(n), case when n %% 50 = 0 then '{}' end from generate_series(1, 20000) n;
insert into crosswalk (system, stream, key, record) select 'erp', 'p', key(n), id(n) from generate_series(1, 20000) n;
insert into match_key select id(n), 'customer', 'tax_id', key(n) from generate_series(1, 20000) n;
insert into match_key select id(n), 'customer', 'tax_id', 'shared' from generate_series(1, 20000) n;
insert into duplicate select 'customer', 'tax_id', 'shared', id(n) from generate_series(1, 20000) n;
insert into match_key select id(n), 'invoice', 'customer+number', id(n) || E'\\x1f' || n
    from generate_series(1, 20000) n;
insert into match_key select id(n), 'line', 'place+invoice', n || E'\\x1f' || id(n) from generate_series(1, 20000) n;
insert into joined (id, entity, record, rows)
    select id(n + 20000), 'customer', id(n), '[]' from generate_series(1, 20000) n;
insert into kept_apart select id(n), id(n + 1) from generate_series(1, 20000) n;
insert into following select id(n) from generate_series(1, 20000) n;
insert into dirty (target, record, mark, status, awaits, due)
    select 'erp', id(n), n, case n %% 4 when 0 then 'due' when 1 then 'waiting' else 'parked' end,
        case when n %% 4 = 1 then id(n + 20000) end, clock_timestamp() from generate_series(1, 20000) n;
insert into marked (target, mark, number, records, shard)
    select 'erp', n, 100, array(select id(n * 100 + m) from generate_series(1, 100) m), n %% 4
    from generate_series(1, 1000) n;
insert into set_aside (system, stream, key, entity, kind, reason, position, payload,
        await_system, await_stream, await_key)
    select 'crm', 'public.contact', key(n / 2), 'contact', case n %% 2 when 0 then 'parent' else 'behind' end,
        '', '', '{}', 'crm', 'public.account', case n %% 2 when 0 then 'absent' || n end
    from generate_series(2, 20001) n;
insert into set_aside (system, stream, key, entity, kind, reason, position, payload)
    select 'crm', 'public.account', key(n), 'customer', 'data', '', '', '{}' from generate_series(1, 20000) n;
insert into seen select 'crm', 'public.account', key(n) from generate_series(1, 20000) n;
insert into ledger_block select lane, n, '', '', '', 'book', 10, now() - n * interval '1 hour', ''
    from generate_series(1, 2000) n, unnest(array['crm', 'erp']) as lane;
insert into ledger_entry select 'crm', n / 10, n %% 10, id(n), 1,
    case when n %% 100 = 0 then '{"decisions":[["f","refused","x",null,null,"erp","r"]]}' else '{"decisions":[]}' end
    from generate_series(10, 20009) n;
insert into rekeyed select 'crm', 'public.account', 'old' || n, key(n), 'p', n %% 2 = 0
    from generate_series(1, 20000) n;
insert into announced select 'crm', n::text, n from generate_series(1, 20000) n;
insert into rulebook (hash, body) select 'book' || n, '' from generate_series(1, 20000) n;
insert into live_rulebook (hash) values ('book1');
insert into source (name, system) values ('crm', 'crm'), ('erp', 'erp');
insert into partition (source, name) select 'crm', 'topic/' || n from generate_series(1, 12) n;
insert into duty (name) values ('source:crm');
insert into inbox (system, number, event, payload, arrived, taken_at) select 'crm', n, 'E' || lpad(n::text, 5, '0'),
    case when n > 15000 then '\\x61'::bytea end, now(), case when n <= 15000 then now() end
    from generate_series(1, 20000) n;
insert into inbox (system, number, stream, key, arrived) select 'crm', 20000 + n, 's', key(n), now()
    from generate_series(15001, 20000) n;
insert into hook (system, last, taken, unread) values ('crm', 40000, 15000, 10000);
""".replace("%%", "%")


@pytest.fixture
def filled(hub_dsn: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    with psycopg.connect(hub_dsn, autocommit=True) as connection:
        connection.execute("set search_path to fieldwarden, pg_temp")
        connection.execute(
            "create function pg_temp.id(n bigint) returns uuid language sql as"
            " $$select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid$$"
        )
        connection.execute(
            "create function pg_temp.key(n bigint) returns text language sql as $$select 'K' || lpad(n::text, 5, '0')$$"
        )
        connection.execute(re.sub(r"\b(id|key)\(n", r"pg_temp.\1(n", FILL).encode())
        connection.execute(QUERIES["temporary_tables"])
        yield connection


def test_every_statement_has_an_example() -> None:
    stated = {name for name, text in QUERIES.items() if not _code(text).startswith(UTILITY)}
    assert stated == set(EXAMPLES)


def test_what_is_read_apart_since_it_is_large_is_so_everywhere() -> None:
    """A row that two statements took for large and for small would be read twice, or never."""
    bounds = re.findall(rb"octet_length\(\S+\) [<>]=? (\d+)", b"\n".join(QUERIES.values()))
    assert bounds
    assert {int(each) for each in bounds} == {LARGE}


def test_no_statement_reads_more_the_longer_the_hub_has_run(filled: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Never analysed, as the tables of a new hub are while they grow; and analysed, planned as PostgreSQL likes."""
    found = {}
    filled.execute(QUERIES["plans"])
    for name in EXAMPLES.keys() - PLANNED_FREELY:
        for mode in ("force_generic_plan", "force_custom_plan"):
            found[name, mode] = rows_read(filled, name, mode)
    filled.execute("reset all")
    filled.execute("set search_path to fieldwarden, pg_temp")
    filled.execute("analyze")
    for name in EXAMPLES:
        found[name, "auto"] = rows_read(filled, name, "auto")
    bounds = dict.fromkeys(EXAMPLES, BOUND) | dict.fromkeys(WHOLE, 8 * MANY)
    too_many = {each: rows for each, rows in found.items() if rows > bounds[each[0]]}
    assert not too_many, "\n".join(map(str, too_many.items()))


def rows_read(connection: psycopg.Connection[tuple[Any, ...]], name: str, mode: str) -> int:
    """Rows that the statement's scans come upon, those they leave out among them, and what it unnests."""
    text, values = _numbered(name)
    with connection.transaction(force_rollback=True):
        connection.execute(f"set local plan_cache_mode = {mode}".encode())
        if "settled" in _code(QUERIES[name]):
            line = "(%s, 1, 3, 'retry', 0, null, '', '', '[]')"
            connection.execute(f"insert into settled values {', '.join([line] * len(SOME))}".encode(), SOME)
        if "new_state" in _code(QUERIES[name]):
            line = "(%s, 1, false, '{}', '[]')"
            connection.execute(f"insert into new_state values {', '.join([line] * len(SOME))}".encode(), SOME)
        connection.execute(f"prepare stated as {text}".encode())
        given = ", ".join(psycopg.sql.Literal(each).as_string(connection) for each in values)
        asked = f"explain (analyze, format json) execute stated{f'({given})' if values else ''}"
        try:
            ((((plan,)),),) = connection.execute(asked.encode()).fetchall()
        finally:
            if connection.info.transaction_status != TransactionStatus.INERROR:
                connection.execute("deallocate stated")
        return _read(plan["Plan"])


def _read(node: Mapping[str, Any]) -> int:
    here = 0
    kind = node["Node Type"]
    if kind in ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Function Scan", "ProjectSet"):
        left = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        here = int((node["Actual Rows"] + left) * node["Actual Loops"])
    return here + sum(map(_read, node.get("Plans", ())))


def _code(text: bytes) -> str:
    return "\n".join(line for line in text.decode().splitlines() if not line.startswith("--")).strip().lower()


def _numbered(name: str) -> tuple[str, list[Any]]:
    """The statement with PostgreSQL's own placeholders, and their values."""
    given, values = EXAMPLES[name], []
    places: dict[str, str] = {}

    def place(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        if isinstance(given, Mapping):
            if match[1] not in places:
                values.append(given[match[1]])
                places[match[1]] = f"${len(values)}"
            return places[match[1]]
        values.append(given[len(values)])
        return f"${len(values)}"

    text = re.sub(r"%%|%s|%\((\w+)\)s", place, QUERIES[name].decode())
    assert isinstance(given, Mapping) or len(values) == len(given), name
    return text, values
