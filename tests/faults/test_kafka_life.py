"""One long life on Kafka: everything between the databases and us fails once, while people work in all three systems.

In the end all is as it would have been without any of it, no decision was taken twice, and the ledger verifies.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from stack import Stack
from tests.faults.kafka import KafkaWorld, make_kafka_world
from tests.faults.people import People
from tests.integration.cli_project import Run
from tests.patience import eventually


def broker_crashes(world: KafkaWorld, people: People) -> None:
    world.stack.broker.kill()
    world.work(people, 20)
    world.stack.broker.start()


def worker_joins_and_leaves(world: KafkaWorld, people: People) -> None:
    """Partitions move in the midst of batches, twice."""
    before = world.epochs()
    with world.running() as third:
        share = eventually(lambda: world.partitions_of(third), "a share for the third")
        world.work(people, 20)
        assert third.end()[0] == 128 + signal.SIGTERM

    def taken_twice() -> bool:
        epochs = world.epochs()
        return all(epochs[name] >= before.get(name, 0) + 2 for name in share)

    eventually(taken_twice, "the others to take it back")


def worker_is_killed(world: KafkaWorld, people: People, victim: Run) -> None:
    assert world.partitions_of(victim), "it has something to lose"
    victim.process.kill()
    world.work(people, 20)


def worker_hangs_and_goes_on(world: KafkaWorld, people: People, zombie: Run) -> None:
    """Past its session: the group gives its partitions to another, who reads on, and then it goes on itself."""
    share = eventually(lambda: world.partitions_of(zombie), "a share for it")
    world.work(people, 10)
    zombie.process.send_signal(signal.SIGSTOP)
    eventually(lambda: not world.partitions_of(zombie), "others to take its share")
    world.flows(people)
    world.work(people, 10)
    zombie.process.send_signal(signal.SIGCONT)
    eventually(lambda: world.partitions_of(zombie), "it to work again")
    assert share


def task_fails(world: KafkaWorld, people: People) -> None:
    """Its database session ends; a person restarts it, and it tells some of what it told before again."""
    slot = "fieldwarden_crm"
    world.sql("crm", f"select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '{slot}'")
    eventually(lambda: "FAILED" in world.connect_says("crm"), "the task to fail")
    code, body = world.call("connector", "status", "crm")
    assert code == 1
    assert "FAILED" in str(body["result"])
    world.work(people, 20)
    assert world.call("connector", "restart", "crm")[0] == 0
    eventually(lambda: "FAILED" not in world.connect_says("crm"), "the task to run")


def connect_crashes(world: KafkaWorld, people: People) -> None:
    world.stack.connect.kill()
    world.work(people, 20)
    world.stack.connect.start()


@pytest.mark.timeout(900)  # it takes two minutes alone
def test_one_long_life(
    tmp_path: Path,
    make_database: Callable[[], str],
    over_tcp: Callable[[str], str],
    crashable_stack: Stack,
) -> None:
    crashable_stack.start()
    world = make_kafka_world(tmp_path / "world", crashable_stack, make_database, over_tcp)
    world.register()
    with contextlib.ExitStack() as stack:
        people = stack.enter_context(world.people())
        first, second = (stack.enter_context(world.running()) for _ in range(2))
        for run in (first, second):
            world.await_baselines(run)
        world.flows(people)

        broker_crashes(world, people)
        world.flows(people)
        worker_joins_and_leaves(world, people)
        worker_is_killed(world, people, second)
        third = stack.enter_context(world.running())
        world.flows(people)
        worker_hangs_and_goes_on(world, people, third)
        world.flows(people)
        task_fails(world, people)
        world.flows(people)
        connect_crashes(world, people)
        world.flows(people)
        for run in (first, third):
            assert run.end()[0] == 128 + signal.SIGTERM, run.log.read_text()
    world.acknowledged_is_durable()
    world.rest()
    world.check()
    again = world.rest()
    assert (again["changes"], again["decisions"]) == (0, 0), "nothing was left half done"
