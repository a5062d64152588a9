"""Record what a real server sends.

    python -m tests.golden.record_pgoutput DSN | gzip -9n > tests/golden/pgoutput_N.json.gz

DSN is an empty database of a throw-away server of version N. The recording holds the frames as they came and the
operations that made them; tests/unit/postgres/test_recorded.py says what they mean.
"""

from __future__ import annotations

import asyncio
import json
import sys

import psycopg

from fieldwarden.connectors.postgres.reading.replication import ReplicationConnection
from tests.integration.reading import run

SETUP = (
    "create table account (id int primary key, name text, body text, code char(5), amount numeric)",
    "alter table account alter body set storage external",
    "create publication recorded for table account",
    "alter database {database} set logical_decoding_work_mem = '64kB'",
)
OPERATIONS = (
    "insert into account values (1, 'Ann', repeat('x', 3000), 'ab', 1234567.8900)",
    "update account set name = 'Bob' where id = 1",
    "update account set id = 2 where id = 1",
    "select pg_logical_emit_message(true, 'fieldwarden', 'r'); insert into account (id) values (3)",
    "alter table account replica identity full; update account set name = null where id = 2",
    "delete from account where id = 2",
    "alter table account add extra text default 'e'; insert into account (id) values (4)",
    "truncate account",
    "begin; insert into account (id, name) select i, repeat('s', 60) from generate_series(1, 700) i; savepoint s; "
    "insert into account (id, name) select i, repeat('s', 60) from generate_series(1001, 1700) i; "
    "rollback to s; insert into account (id, name) values (2000, 'end'); commit",
)


async def record(dsn: str) -> dict[str, object]:
    with psycopg.connect(dsn) as connection:
        database, version = connection.info.dbname, connection.info.server_version
    run(dsn, *(statement.format(database=database) for statement in SETUP))
    creator = await ReplicationConnection.connect("recorded", dsn, high_water=1 << 24)
    point, _ = await creator.create_slot("recorded")
    await creator.close()
    run(dsn, *OPERATIONS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_logical_emit_message(false, 'end', '')")
    stream = await ReplicationConnection.connect("recorded", dsn, high_water=1 << 24)
    await stream.start("recorded", "recorded", point)
    while not any(frame[25:26] == b"M" and b"end\0" in frame for frame in stream.frames):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    frames = [frame.hex() for frame in stream.frames if frame[0] == ord("w")]
    await stream.close()
    run(dsn, "drop publication recorded", "drop table account")
    return {"version": version, "point": point, "frames": frames}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(record(sys.argv[1])), indent=0) + "\n")
