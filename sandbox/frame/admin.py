"""`/_sandbox/`: what tests and rehearsals do with a sandbox that no vendor offers. All of it is JSON;
docs/sandbox.md says what each takes.

    GET    /_sandbox/                             what there is: records, faults, clock, requests counted
    POST   /_sandbox/reset                        begin anew                    {"seed": 7}
    POST   /_sandbox/load                         add records                   {"customers": [{...}]}
    POST   /_sandbox/make                         add many                      {"table": "invoices", "count": 500}
    GET    /_sandbox/records/TABLE                its records, oldest first     ?after=KEY&limit=1000&deleted=1
    POST   /_sandbox/records/TABLE                a person makes one            {...}
    GET    /_sandbox/records/TABLE/KEY
    PATCH  /_sandbox/records/TABLE/KEY            a person edits one            {...}
    DELETE /_sandbox/records/TABLE/KEY            a person deletes one
    POST   /_sandbox/records/TABLE/KEY/ACTION     a person pays, voids ...
    POST   /_sandbox/faults                       arm one                       {"name": "throttle", "times": 5}
    DELETE /_sandbox/faults                       disarm all, count from 0
    POST   /_sandbox/clock                        set it
    POST   /_sandbox/limits             {"requests": 100, "seconds": 1}, or {} for none
    GET    /_sandbox/requests                     the last 500
    GET    /_sandbox/hooks                        where webhooks go, and the last 1,000 of them
    POST   /_sandbox/hooks                        where, by which secret
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldwarden.sandbox.frame.clock import iso, seconds_of
from fieldwarden.sandbox.frame.exchange import NotPossible, Refused, written
from fieldwarden.sandbox.frame.faults import SLOW_SECONDS, Armed, SandboxRefused
from fieldwarden.sandbox.frame.hooks import Destination
from fieldwarden.sandbox.frame.limits import Rate
from fieldwarden.sandbox.frame.page import foreign
from fieldwarden.sandbox.frame.records import Json, Row
from fieldwarden.sandbox.frame.stage import Stage

MOST = 100_000
"""How many records one call makes at most."""
_PAGE = 1000
Told = Callable[[Stage, Request, Json], Any]


def routes(stage: Stage) -> list[Route]:
    table = "/_sandbox/records/{table}"
    return [
        Route(path, _asked(stage, told), methods=[method])
        for method, path, told in (
            ("GET", "/_sandbox/", _overview),
            ("POST", "/_sandbox/reset", _reset),
            ("POST", "/_sandbox/load", _load),
            ("POST", "/_sandbox/make", _make),
            ("GET", table, _records),
            ("POST", table, _create),
            ("GET", table + "/{key}", _record),
            ("PATCH", table + "/{key}", _edit),
            ("DELETE", table + "/{key}", _remove),
            ("POST", table + "/{key}/{action}", _act),
            ("POST", "/_sandbox/faults", _arm),
            ("DELETE", "/_sandbox/faults", _disarm),
            ("POST", "/_sandbox/clock", _clock),
            ("POST", "/_sandbox/limits", _limits),
            ("GET", "/_sandbox/requests", _requests),
            ("GET", "/_sandbox/hooks", _hooks),
            ("POST", "/_sandbox/hooks", _hook),
        )
    ]


def _asked(stage: Stage, told: Told) -> Callable[[Request], Any]:
    """What is wrong with a request is said with the status 400, in one sentence."""

    async def answer(request: Request) -> Response:
        raw = await request.body()
        try:
            if foreign(request):
                raise NotPossible("this came from another site's page")
            body = json.loads(raw) if raw else {}
            if not isinstance(body, dict):
                raise NotPossible("the body has to be a JSON object")
            result = told(stage, request, body)
        except Refused as refused:
            return Response(refused.answer.body, 400, media_type=refused.answer.content_type)
        except (NotPossible, SandboxRefused, ValueError, KeyError, TypeError) as error:
            wrong = " ".join(str(each) for each in (error, getattr(error, "suggestion", "")) if each)
            return Response(written({"error": wrong or "that cannot be read"}), 400, media_type="application/json")
        return Response(written(result), media_type="application/json")

    return answer


def _overview(stage: Stage, request: Request, body: Json) -> Json:
    del request, body
    vendor, faults = stage.vendor, stage.world.faults
    return {
        "vendor": vendor.name,
        "clock": {"now": iso(stage.world.clock.now()), "stands": stage.world.clock.stands},
        "tables": {name: len(table) for name, table in vendor.tables.items()},
        "faults": {
            name: {
                "does": does,
                "struck": faults.struck[name],
                "armed": asdict(faults.armed[name]) if name in faults.armed else None,
            }
            for name, does in faults.known.items()
        },
        "requests": dict(stage.journal.counted),
        "hooks": {"waiting": stage.world.hooks.waiting, "to": [each.url for each in stage.world.hooks.destinations]},
    }


def _reset(stage: Stage, request: Request, body: Json) -> Json:
    stage.begin(int(body.get("seed", stage.seed)))
    return _overview(stage, request, {})


def _load(stage: Stage, request: Request, body: Json) -> Json:
    del request
    return {"made": stage.load(body)}


def _make(stage: Stage, request: Request, body: Json) -> Json:
    del request
    count = int(body["count"])
    if not 0 < count <= MOST:
        raise NotPossible(f"count has to be 1 to {MOST}")
    table = str(body["table"])
    first = len(stage.vendor.table(table))
    stage.world.quiet = bool(body.get("quiet", False))
    try:
        for number in range(first, first + count):
            stage.vendor.create(table, stage.vendor.sample(table, number))
    finally:
        stage.world.quiet = False
    return {"made": count}


def _told(row: Row) -> Json:
    return {"key": row.key, "version": row.version, "deleted": row.deleted, "data": row.data}


def _records(stage: Stage, request: Request, body: Json) -> Json:
    del body
    table, asked = stage.vendor.table(request.path_params["table"]), request.query_params
    limit, after = int(asked.get("limit", _PAGE)), asked.get("after", "")
    rows = table.all() if asked.get("deleted") else table.newer(after)
    page = [row for row, _ in zip(rows, range(limit), strict=False)]
    return {"records": [_told(row) for row in page], "count": len(table)}


def _row(stage: Stage, request: Request) -> Row:
    row = stage.vendor.table(request.path_params["table"]).ever(request.path_params["key"])
    if row is None:
        raise NotPossible(f"{request.path_params['table']} has no {request.path_params['key']!r}")
    return row


def _record(stage: Stage, request: Request, body: Json) -> Json:
    del body
    return _told(_row(stage, request))


def _create(stage: Stage, request: Request, body: Json) -> Json:
    table = request.path_params["table"]
    stage.vendor.table(table)
    row = stage.vendor.tables[table].get(stage.vendor.create(table, body))
    assert row is not None
    return _told(row)


def _edit(stage: Stage, request: Request, body: Json) -> Json:
    stage.vendor.edit(request.path_params["table"], _row(stage, request).key, body)
    return _told(_row(stage, request))


def _remove(stage: Stage, request: Request, body: Json) -> Json:
    del body
    stage.vendor.remove(request.path_params["table"], _row(stage, request).key)
    return _told(_row(stage, request))


def _act(stage: Stage, request: Request, body: Json) -> Json:
    del body
    stage.vendor.act(request.path_params["table"], _row(stage, request).key, request.path_params["action"])
    return _told(_row(stage, request))


def _arm(stage: Stage, request: Request, body: Json) -> Json:
    times = body.get("times", 1)
    armed = Armed(
        None if times is None else int(times),
        max(1, int(body.get("each", 1))),
        str(body.get("path", "")),
        float(body.get("seconds", SLOW_SECONDS)),
    )
    stage.world.faults.arm(str(body["name"]), armed)
    return _overview(stage, request, {})


def _disarm(stage: Stage, request: Request, body: Json) -> Json:
    stage.world.faults.clear()
    return _overview(stage, request, body)


def _clock(stage: Stage, request: Request, body: Json) -> Json:
    clock = stage.world.clock
    if "at" in body:
        clock.stand(seconds_of(str(body["at"])))
    if "move" in body:
        clock.move(float(body["move"]))
    if body.get("follow"):
        clock.follow()
    stage.world.hooks.look()
    return _overview(stage, request, {})


def _limits(stage: Stage, request: Request, body: Json) -> Json:
    rate = Rate(int(body["requests"]), float(body.get("seconds", 1))) if body else None
    if rate and (rate.requests < 1 or rate.seconds <= 0):
        raise NotPossible("requests and seconds have to be more than 0")
    stage.limit(rate)
    return _overview(stage, request, {})


def _requests(stage: Stage, request: Request, body: Json) -> Json:
    del request, body
    return {"requests": [asdict(each) for each in stage.journal.last]}


def _hooks(stage: Stage, request: Request, body: Json) -> Json:
    del request, body
    hooks = stage.world.hooks
    sent = [
        {"name": each.name, "to": each.destination.url, "attempts": each.attempts, "status": each.status}
        | {"dropped": each.dropped, "body": each.body.decode()}
        for each in hooks.sent
    ]
    return {"waiting": hooks.waiting, "sent": sent}


def _hook(stage: Stage, request: Request, body: Json) -> Json:
    hooks = stage.world.hooks
    if "url" in body:
        hooks.destinations.append(Destination(str(body["url"]), [str(body.get("secret", stage.vendor.secret))]))
    if "roll" in body:
        for destination in hooks.destinations:
            destination.secrets = [str(body["roll"]), destination.secrets[0]]
    if body.get("release"):
        hooks.release()
    if body.get("forget"):
        hooks.destinations.clear()
    return _hooks(stage, request, body)
