"""What every hub keeps of changes that are set aside: what they hold up, and when they go on."""

from __future__ import annotations

from fieldwarden.engine.change import RowRef
from fieldwarden.engine.ports.duties import Lane
from fieldwarden.engine.ports.hub import Hub
from tests.contract.hub_builder import (
    ACCOUNT,
    CHILD,
    PARTY,
    A,
    B,
    aside,
    commit,
    may_go_on,
    record,
)


async def released(hub: Hub, limit: int = 10) -> list[tuple[str, str]]:
    return [(kept.row.key, kept.kind) for kept in await may_go_on(hub, "crm", limit)]


async def test_a_deletion_that_is_held_goes_on_only_when_a_person_says_so(hub: Hub) -> None:
    """And what stands behind it waits with it."""
    await commit(hub, set_aside=[aside("brake"), aside("behind")], records=[record(A)], links=[(ACCOUNT, A)])
    assert await released(hub) == []
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        assert [[each.kind for each in found] for found in (await tx.letters([CHILD])).values()] == [
            ["brake", "behind"]
        ]
    assert list(await hub.held_up([CHILD])) == [CHILD]


async def test_rows_of_a_stream_that_stand_for_live_records_are_counted(hub: Hub) -> None:
    retired = record(B)
    retired.retired = True
    others = [RowRef("crm", "public.account", str(number)) for number in (2, 3)]
    links = [(ACCOUNT, A), (others[0], A), (others[1], B), (PARTY, A)]
    await commit(hub, records=[record(A), retired], links=links)
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        assert await tx.live("crm", "public.account") == 2
        assert await tx.live("crm", "public.nothing") == 0


async def test_what_waits_for_a_person_goes_on_once_it_is_to_be_tried_again(hub: Hub) -> None:
    await commit(hub, set_aside=[aside("data", awaits=ACCOUNT)], records=[record(A)], links=[(ACCOUNT, A)])
    assert await may_go_on(hub, "crm", 10) == [], "that the row named is known is no reason"
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        ((letter,),) = (await tx.letters([CHILD])).values()
    await commit(hub, retried=[letter.id])
    (found,) = await may_go_on(hub, "crm", 10)
    assert (found.id, found.released) == (letter.id, True)
    found.released = False
    await commit(hub, set_aside=[found])
    assert await may_go_on(hub, "crm", 10) == [], "it was tried in vain"


async def test_a_set_aside_change_blocks_its_row_and_comes_back_whole(hub: Hub) -> None:
    kept = aside("parent", awaits=ACCOUNT, candidates=(A, B))
    await commit(hub, set_aside=[kept], records=[record(A)], links=[(ACCOUNT, A)])
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        letters = await tx.letters([CHILD, ACCOUNT, CHILD])
        assert [(row, [each[1:] for each in found]) for row, found in letters.items()] == [
            (CHILD, [("parent", "p1", False, ACCOUNT)])
        ]
        assert await tx.letters([]) == {}
    (found,) = await may_go_on(hub, "crm", 10)
    kept.id = found.id
    assert found == kept
    await commit(hub, released=[found.id])
    assert await released(hub) == []
    lease = await hub.lease(Lane("crm"))
    async with hub.ingest(lease) as tx:
        assert await tx.letters([CHILD]) == {}


async def test_an_unreadable_value_holds_up_nothing_and_is_tried_again_when_a_person_says_so(hub: Hub) -> None:
    await commit(hub, set_aside=[aside("unreadable"), aside("parent", awaits=ACCOUNT, moves=True), aside("behind")])
    assert await released(hub) == []
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    assert await released(hub) == [("9", "parent"), ("9", "behind")]
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        letters = await tx.letters([CHILD])
    assert [(each.kind, each.moves, each.blocks) for each in letters[CHILD]] == [
        ("unreadable", False, False),
        ("parent", True, True),
        ("behind", False, True),
    ]


async def test_what_waits_is_released_when_its_row_is_linked_with_all_that_stands_behind(hub: Hub) -> None:
    waiting = aside("reference", awaits=ACCOUNT)
    other = RowRef("crm", "public.contact", "10")
    await commit(hub, set_aside=[waiting, aside("behind"), aside("data", other), aside("behind", other)])
    assert await released(hub) == []
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    assert await released(hub) == [("9", "reference"), ("9", "behind")]
    assert await released(hub, 1) == [("9", "reference")]
    assert await may_go_on(hub, "erp", 10) == []


async def test_what_waits_is_looked_through_page_by_page(hub: Hub) -> None:
    third = RowRef("crm", "public.account", "3")
    stuck, other = RowRef("crm", "public.contact", "10"), RowRef("crm", "public.contact", "11")
    waiting = [
        aside("parent", stuck, awaits=third),
        aside("data", other),
        aside("parent", awaits=ACCOUNT),
        *(aside("behind", row) for row in (stuck, CHILD, other, CHILD)),
    ]
    await commit(hub, set_aside=waiting, records=[record(A)], links=[(ACCOUNT, A)])
    pages = []
    after: int | None = 0
    while after is not None:
        found, after = await hub.releasable("crm", 2, after)
        pages.append([(kept.row.key, kept.kind) for kept in found])
        await commit(hub, released=[kept.id for kept in found])
    assert pages == [[("9", "parent")], [("9", "behind")], [("9", "behind")], []]
    await commit(hub, records=[record(B)], links=[(third, B)])
    assert await released(hub) == [("10", "parent"), ("10", "behind")]


async def test_no_page_lets_a_change_overtake_one_of_its_row_that_became_ready_meanwhile(hub: Hub) -> None:
    other = RowRef("crm", "public.contact", "10")
    await commit(hub, set_aside=[aside("parent", awaits=ACCOUNT), aside("data", other), aside("behind")])
    found, after = await hub.releasable("crm", 1)
    assert found == []
    assert after is not None
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    assert (await hub.releasable("crm", 1, after))[0] == []
    assert await released(hub) == [("9", "parent"), ("9", "behind")]


async def test_a_change_that_still_waits_holds_up_those_behind_it(hub: Hub) -> None:
    third = RowRef("crm", "public.account", "3")
    first, second = aside("parent", awaits=ACCOUNT), aside("reference", awaits=third)
    await commit(hub, set_aside=[first, aside("behind"), second, aside("behind")])
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    assert await released(hub) == [("9", "parent"), ("9", "behind")]


async def test_who_holds_up_a_row_is_told_by_its_first_letter(hub: Hub) -> None:
    other = CHILD._replace(key="77")
    await commit(hub, set_aside=[aside("unreadable", other), aside("data"), aside("behind")])
    async with hub.ingest(await hub.lease(Lane("crm"))) as tx:
        letters = (await tx.letters([CHILD]))[CHILD]
    assert await hub.held_up([CHILD, other, ACCOUNT]) == {CHILD: letters[0].id}
    assert await hub.held_up([]) == {}


async def test_a_change_set_aside_again_keeps_its_place(hub: Hub) -> None:
    await commit(hub, set_aside=[aside("parent", awaits=ACCOUNT), aside("behind")])
    await commit(hub, records=[record(A)], links=[(ACCOUNT, A)])
    first, _ = await may_go_on(hub, "crm", 10)
    await commit(hub, set_aside=[aside("data", id=first.id)])
    assert await released(hub) == []
    await commit(hub, released=[first.id])
    assert await released(hub) == [("9", "behind")]
