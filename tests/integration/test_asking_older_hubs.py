"""Commands that only ask, on a user's own hub that is older than the program: its owner migrates when it suits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fieldwarden.engine.errors import EnvironmentUnfit
from fieldwarden.engine.hub.migrate import known_migrations, migrate
from fieldwarden.engine.hub.reading import snapshot
from fieldwarden.engine.hub.views.overview import Overview
from tests.integration.cli_project import Shop
from tests.integration.reading import run

ASKING = ["status", "deadletter list", "deletes list", "match list", "audit verify", "check", "doctor"]
Older = Callable[[str], Shop]


@pytest.fixture
def older(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Older:
    """`older(name)`: a shop whose hub is as it was before the migration of that name."""

    def make(name: str) -> Shop:
        folder = tmp_path_factory.mktemp("older")
        first = next(each.version for each in known_migrations() if each.name.endswith(f"_{name}"))
        for each in known_migrations()[: first - 1]:
            (folder / f"{each.name}.sql").write_bytes(each.script)
        migrate(shop.hub, folder=folder)
        return shop

    return make


@pytest.mark.parametrize("command", ASKING)
def test_a_hub_of_before_sealed_marks_is_answered_for(older: Older, command: str) -> None:
    code, body = older("marks").call_here(*command.split())
    assert code == 0, body


@pytest.mark.parametrize("command", ASKING)
def test_a_hub_of_before_every_source_had_parts_is_answered_for(older: Older, command: str) -> None:
    code, body = older("parts").call_here(*command.split())
    assert code == 0, body


def test_of_a_hub_that_is_much_older_each_command_answers_or_says_who_has_to_do_what(older: Older) -> None:
    shop = older("project")
    ends = [shop.call_here(*command.split()) for command in ASKING]
    assert {code for code, _ in ends} <= {0, 3}
    told = [body["error"]["suggestion"] for code, body in ends if code]
    assert told
    assert all("fieldwarden hub migrate" in each for each in told), told


async def test_what_an_older_schema_lacks_is_named_with_what_to_do(older: Older) -> None:
    shop = older("marks")
    run(shop.hub, "alter table fieldwarden.set_aside rename column since to later", "drop table fieldwarden.duty")
    overview = Overview(shop.hub)
    try:
        for question in overview.set_aside, overview.workers:
            with pytest.raises(EnvironmentUnfit, match="lacks what this program asks for") as caught:
                await question()
            assert "fieldwarden hub migrate" in caught.value.suggestion
    finally:
        await overview.close()
    with pytest.raises(EnvironmentUnfit, match="row_name_key"):
        async with snapshot(shop.hub) as connection:
            await connection.execute("select key from row_name_key")
