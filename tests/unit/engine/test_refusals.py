"""A field that a target refuses is parked with its reason; the record's other fields go on being delivered."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from fieldwarden.engine.change import RawChange, Value
from fieldwarden.engine.delivering.conclusion import ATTEMPTS
from fieldwarden.engine.delivering.refusals import joined, refusal, remembered, said, still_refused
from fieldwarden.engine.ports.target import Write, WriteResult
from fieldwarden.engine.testing import MemoryHub, MemoryTarget, ScriptedSource
from fieldwarden.engine.testing.tables import Dirty
from tests.unit.engine.test_loops import account, deliver, live

TOO_LONG = "the value is too long"


def refuse(stream: str, name: str, value: Value) -> str:
    return TOO_LONG if name in ("phone", "city") and value is not None and len(value) > 3 else ""


class Feed:
    """CRM tells; billing is delivered to."""

    def __init__(self) -> None:
        self.hub = MemoryHub()
        self.writes: list[Write] = []
        self.target = MemoryTarget("billing", refuse=refuse, before=self.writes.extend)
        self.said: list[RawChange] = []

    def say(self, **columns: str) -> None:
        self.said.append(account(len(self.said) + 1, tax_id="T1", **columns))
        live(ScriptedSource("crm", self.said), self.hub)

    def deliver(self) -> list[Write]:
        self.writes.clear()
        deliver(self.hub, self.target, 4)
        return list(self.writes)

    @property
    def row(self) -> dict[str, Value]:
        [row] = self.target.rows["public.customer"].values()
        return row.values

    @property
    def pending(self) -> list[Dirty]:
        return [mark for (name, _), mark in self.hub.dirty.items() if name == "billing"]

    @property
    def mark(self) -> Dirty:
        [mark] = self.pending
        return mark


def test_a_refused_field_is_parked_and_the_others_are_delivered() -> None:
    feed = Feed()
    feed.say(phone="1", name="Acme")
    feed.deliver()
    feed.say(phone="12345", segment="big")
    feed.deliver()
    assert (feed.row["phone"], feed.row["segment"]) == ("1", "big")
    assert feed.mark.status == "parked"
    assert feed.mark.reason == f"not delivered, while the other fields are: phone: {TOO_LONG}"


def test_what_is_refused_is_not_tried_again_with_every_change_of_the_record() -> None:
    feed = Feed()
    feed.say(phone="1")
    feed.deliver()
    feed.say(phone="12345")
    feed.deliver()
    feed.say(phone="12345", segment="big")
    assert [set(write.values) for write in feed.deliver()] == [{"segment"}]
    assert (feed.mark.status, TOO_LONG in feed.mark.reason) == ("parked", True)


def test_another_golden_value_is_tried_and_ends_the_parking() -> None:
    feed = Feed()
    feed.say(phone="1")
    feed.deliver()
    feed.say(phone="12345")
    feed.deliver()
    feed.say(phone="777")
    feed.deliver()
    assert feed.row["phone"] == "777"
    assert not feed.pending


def test_a_person_can_have_it_tried_again() -> None:
    feed = Feed()
    feed.say(phone="1")
    feed.deliver()
    feed.say(phone="12345")
    feed.deliver()
    feed.mark.status, feed.mark.result, feed.mark.due = "due", "", 0
    feed.target.refuse = lambda _stream, _name, _value: ""
    feed.deliver()
    assert feed.row["phone"] == "12345"
    assert not feed.pending


def test_a_row_is_created_without_the_refused_field() -> None:
    feed = Feed()
    feed.say(phone="12345", name="Acme")
    writes = feed.deliver()
    assert [write.operation for write in writes] == ["create"], "nothing is written twice"
    assert "phone" not in feed.row
    assert feed.row["name"] == "Acme"
    assert "phone" in feed.mark.reason
    [record] = feed.hub.records
    [row] = [row for row in feed.hub.record(record).rows if row.system == "billing"]
    assert "phone" not in row.sent, "it is not believed to be there"


def test_a_block_is_refused_whole() -> None:
    feed = Feed()
    feed.say(street="Elm 1", city="Ulm")
    feed.deliver()
    feed.say(street="Oak 2", city="Rome", name="Acme")
    feed.deliver()
    assert (feed.row["street"], feed.row["city"], feed.row["name"]) == ("Elm 1", "Ulm", "Acme")
    assert "street" in feed.mark.reason


def test_refusals_are_remembered_beside_what_an_attempt_met() -> None:
    refusals = {("s", "phone"): refusal("12345", "too | long")}
    assert remembered(joined("missing", refusals)) == ("missing", refusals)
    assert remembered(joined("", {})) == ("", {})
    assert "12345" not in joined("", refusals)


def test_a_block_is_spared_only_if_all_of_it_was_refused_as_it_is() -> None:
    refusals = {("s", "a"): refusal("1", ""), ("s", "b"): refusal(None, "")}
    assert still_refused(refusals, "s", {"a": "1", "b": None}, (("a", "b"),)) == {"a", "b"}
    assert still_refused(refusals, "s", {"a": "1", "b": "x"}, (("a", "b"),)) == set()
    assert still_refused(refusals, "s", {"a": "1", "b": "x"}, ()) == {"a"}
    assert still_refused(refusals, "other", {"a": "1"}, ()) == set()


def test_what_the_target_said_is_kept_beside_what_it_refuses_and_shown_by_asking_alone() -> None:
    refused = {("s", "phone"): refusal("1", "too long")}
    kept = joined("met", refused, "never for ada@example.org")
    assert remembered(kept) == ("met", refused)
    assert said(kept) == "never for ada@example.org"
    assert said(joined("", {}, "never")) == "never"
    assert remembered(joined("", {}, "never")) == ("", {})
    for silent in ("", "met", joined("met", refused)):
        assert said(silent) == ""


def rejecting(times: int) -> tuple[MemoryHub, list[str]]:
    """What becomes of a row that its target refuses for now, each time in other words, so often at most."""
    hub, statuses = MemoryHub(), list[str]()
    target = MemoryTarget("billing")
    plain = target.write

    async def write(writes: Sequence[Write]) -> AsyncGenerator[WriteResult, None]:
        if len(statuses) >= times:
            async for result in plain(writes):
                yield result
            return
        statuses.append("refused")
        later = {"reason": "a trigger refused it", "said": f"at {len(statuses)}", "later": True}
        for each in writes:
            yield WriteResult(each.token, "rejected", **later)  # type: ignore[arg-type]

    target.write = write  # type: ignore[method-assign]
    live(ScriptedSource("crm", [account(1, tax_id="T1", name="Acme")]), hub)
    deliver(hub, target, 30)
    return hub, statuses


def test_a_row_that_is_refused_for_now_is_tried_a_few_times_and_then_parked_with_what_was_said() -> None:
    hub, refused = rejecting(100)
    [mark] = [mark for (name, _), mark in hub.dirty.items() if name == "billing"]
    assert (len(refused), mark.status) == (ATTEMPTS, "parked")
    assert said(mark.result) == f"at {ATTEMPTS}"
    assert "at" not in mark.reason.split(" ")


def test_a_row_that_is_taken_in_the_end_needs_nobody() -> None:
    hub, refused = rejecting(2)
    assert len(refused) == 2
    assert not [mark for (name, _), mark in hub.dirty.items() if name == "billing"]
