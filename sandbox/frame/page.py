"""The page for people: the records, an edit of one, and the requests of late. Plain HTML; every value is escaped, and
nothing in it is ever run."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from html import escape
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from fieldwarden.sandbox.frame.clock import iso
from fieldwarden.sandbox.frame.exchange import NotPossible, Refused, read_json, written
from fieldwarden.sandbox.frame.records import Json, Row
from fieldwarden.sandbox.frame.stage import Stage

SHOWN = 100
_COLUMNS = 6
_CELL = 40
_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2rem auto;max-width:70rem;color:#222}nav a{margin-right:1rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd}"
    "textarea{width:100%;height:26rem;font:13px monospace}.wrong{background:#fdd;padding:.5rem}.gone{color:#888}"
)
_SAFE = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
HERE = {"127.0.0.1", "localhost"}


def foreign(request: Request) -> bool:
    """Whether another site's page sends this, or somebody's name leads here: neither may change anything."""
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    return urlsplit(f"//{host}").hostname not in HERE or (origin is not None and origin != f"http://{host}")


def routes(stage: Stage) -> list[Route]:
    async def front(request: Request) -> Response:
        del request
        return _page(stage, "", _front(stage))

    async def requests(request: Request) -> Response:
        del request
        return _page(stage, "requests", _requests(stage))

    return [
        Route("/", front),
        Route("/_page/requests", requests),
        Route("/_page/{table}", _shown(stage, _table)),
        Route("/_page/{table}/{key}", _shown(stage, _record)),
        Route("/_page/{table}/{key}", _changing(stage), methods=["POST"]),
    ]


def _shown(stage: Stage, tell: Callable[[Stage, Request], str]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            return _page(stage, request.path_params["table"], tell(stage, request))
        except NotPossible as error:
            return _page(stage, "", _wrong(str(error)), 404)

    return answer


def _changing(stage: Stage) -> Callable[[Request], Awaitable[Response]]:
    """Save, delete or an action of the vendor's; what the vendor does not do is said above the record."""

    async def answer(request: Request) -> Response:
        if foreign(request):
            return _page(stage, "", _wrong("this came from another site"), 403)
        form = {
            name: values[-1] for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()
        }
        try:
            row = _row(stage, request)
            _change(stage, request.path_params["table"], row, form)
        except (NotPossible, ValueError) as error:
            return _page(stage, "", _wrong(str(error)), 400)
        except Refused as refused:
            return _page(stage, "", _wrong(refused.answer.body.decode("utf-8", "replace")), 400)
        return RedirectResponse(request.url.path, 303)

    return answer


def _change(stage: Stage, table: str, row: Row, form: dict[str, str]) -> None:
    action = form.get("do", "save")
    if action == "delete":
        stage.vendor.remove(table, row.key)
    elif action != "save":
        stage.vendor.act(table, row.key, action)
    else:
        wanted = read_json(form.get("record", "").encode())
        if not isinstance(wanted, dict):
            raise NotPossible("a record is a JSON object")
        if changes := {name: value for name, value in wanted.items() if value != row.data.get(name)}:
            stage.vendor.edit(table, row.key, changes)


def _page(stage: Stage, at: str, inner: str, status: int = 200) -> Response:
    links = "".join(f'<a href="/_page/{quote(name)}">{escape(name)}</a>' for name in stage.vendor.tables)
    title = escape(f"{stage.vendor.title} sandbox")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} {escape(at)}</title>'
        f'<style>{_STYLE}</style></head><body><h1><a href="/">{title}</a></h1>'
        f'<nav>{links}<a href="/_page/requests">requests</a></nav>{inner}</body></html>'
    )
    return Response(page, status, _SAFE, "text/html; charset=utf-8")


def _wrong(what: str) -> str:
    return f'<p class="wrong" role="alert">{escape(what)}</p>'


def _front(stage: Stage) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in stage.vendor.notes)
    tables = "".join(
        f'<tr><td><a href="/_page/{quote(name)}">{escape(name)}</a></td><td>{len(table)}</td></tr>'
        for name, table in stage.vendor.tables.items()
    )
    faults = stage.world.faults
    known = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(does)}</td><td>{'armed' if name in faults.armed else ''}</td>"
        f"<td>{faults.struck[name]}</td></tr>"
        for name, does in faults.known.items()
    )
    return (
        f"<p>It is {iso(stage.world.clock.now(), 0)} here.</p><ul>{notes}</ul>"
        f"<h2>Records</h2><table><tr><th>table</th><th>records</th></tr>{tables}</table>"
        f"<h2>Faults</h2><table><tr><th>name</th><th>does</th><th></th><th>struck</th></tr>{known}</table>"
    )


def _requests(stage: Stage) -> str:
    rows = "".join(
        f"<tr><td>{iso(each.at, 0)}</td><td>{escape(each.method)}</td><td>{escape(_cut(each.path, 80))}</td>"
        f"<td>{escape(_cut(each.query, 80))}</td><td>{each.status}</td><td>{escape(each.fault)}</td></tr>"
        for each in reversed(stage.journal.last)
    )
    heads = "".join(f"<th>{name}</th>" for name in ("at", "method", "path", "query", "status", "fault"))
    return f"<h2>Requests</h2><table><tr>{heads}</tr>{rows}</table>"


def _table(stage: Stage, request: Request) -> str:
    name = request.path_params["table"]
    table = stage.vendor.table(name)
    start = request.query_params.get("before", "")
    if start and table.ever(start) is None:
        raise NotPossible(f"{name} has no {start!r}")
    rows = [*islice(table.older(start), SHOWN + 1)]
    columns = _columns(rows[0].data) if rows else []
    heads = "".join(f"<th>{escape(column)}</th>" for column in ["key", *columns])
    lines = "".join(
        f'<tr><td><a href="/_page/{quote(name)}/{quote(row.key, safe="")}">{escape(row.key)}</a></td>'
        + "".join(f"<td>{escape(_cell(row.data.get(column)))}</td>" for column in columns)
        + "</tr>"
        for row in rows[:SHOWN]
    )
    more = f'<p><a href="?before={quote(rows[SHOWN - 1].key, safe="")}">older</a></p>' if len(rows) > SHOWN else ""
    return f"<h2>{escape(name)} ({len(table)})</h2><table><tr>{heads}</tr>{lines}</table>{more}"


def _columns(data: Json) -> list[str]:
    """The first fields that hold one value, names and states before others."""
    plain = [name for name, value in data.items() if not isinstance(value, dict | list) and value != data.get("id")]
    first = [name for name in plain if any(word in name.lower() for word in ("name", "status", "email", "total"))]
    return [*dict.fromkeys([*first, *plain])][:_COLUMNS]


def _cell(value: Any) -> str:
    return "" if value is None else _cut(value if isinstance(value, str) else written(value).decode(), _CELL)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _row(stage: Stage, request: Request) -> Row:
    table, key = request.path_params["table"], request.path_params["key"]
    row = stage.vendor.table(table).ever(key)
    if row is None:
        raise NotPossible(f"{table} has no {key!r}")
    return row


def _record(stage: Stage, request: Request) -> str:
    row = _row(stage, request)
    body = json.dumps(json.loads(written(row.data)), indent=2, ensure_ascii=False)
    told = f"<h2>{escape(row.key)}</h2><p>version {row.version}, changed {iso(row.modified)}</p>"
    if row.deleted:
        return f'{told}<p class="gone">deleted</p><pre>{escape(body)}</pre>'
    buttons = "".join(
        f'<button name="do" value="{escape(each)}">{escape(each)}</button> '
        for each in ("save", *stage.vendor.actions(request.path_params["table"]), "delete")
    )
    return (
        f'{told}<form method="post"><textarea name="record" aria-label="record" spellcheck="false">\n{escape(body)}'
        f"</textarea><p>{buttons}</p></form>"
    )
