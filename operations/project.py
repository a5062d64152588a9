"""A user's project, opened: its files loaded, its embedded server running, its connectors at hand.

The project is the given folder, or the nearest folder upwards that holds a `fieldwarden.yaml`. An embedded server is
started only if the files refer to it, used together with other processes, and stopped by the last one out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldwarden.engine.running.ingest.brake import Bounds
from fieldwarden.operations.kinds.table import KINDS
from fieldwarden.rules.connections import DebeziumConnector, database_settings, debezium_settings
from fieldwarden.rules.errors import FieldwardenError
from fieldwarden.rules.loading import PROJECT_FILE, Project, ReferenceUnresolved, load_project
from fieldwarden.rules.models import ProjectFile
from fieldwarden.rules.references import embedded_in
from fieldwarden.rules.rulebook import Rulebook, Stream, System
from fieldwarden.rules.secret import Secret

if TYPE_CHECKING:
    from fieldwarden.connectors.debezium.kafka.access import KafkaAccess
    from fieldwarden.engine.hub.names import RowNames
    from fieldwarden.engine.hub.server.embedded import EmbeddedServer
    from fieldwarden.engine.hub.store import PostgresHub
    from fieldwarden.operations.hub import LiveHub

STATE = ".fieldwarden"
_HUB_DATABASE = "fieldwarden"
_RUNTIME = "fieldwarden_runtime"
"""What the engine works as in an embedded hub, where a person who reaches the server is its superuser as he likes."""


class NoProject(FieldwardenError):
    """There is no project where one was looked for."""

    code = "no_project"
    exit_code = 2


class UnknownSystem(FieldwardenError):
    code = "unknown_system"
    exit_code = 2


def find(folder: Path | None) -> Path:
    """The project's folder: the one named, or the nearest upwards from here. Raises NoProject."""
    if folder is not None:
        if (folder / PROJECT_FILE).is_file():
            return folder.resolve()
        what = f"it has no {PROJECT_FILE}" if folder.is_dir() else "there is no such folder"
        raise NoProject(
            f"{folder} is no project: {what}", suggestion="make one: fieldwarden init NAME", path=str(folder)
        )
    here = Path.cwd()
    for candidate in (here, *here.parents):
        if (candidate / PROJECT_FILE).is_file():
            return candidate
    raise NoProject(
        f"there is no {PROJECT_FILE} here or in a folder above",
        suggestion="go into a project's folder, name one with --project DIR, or make one: fieldwarden init NAME",
        path=str(here),
    )


def load(folder: Path | None) -> Project:
    """The project's files, checked. Raises NoProject, ConfigurationError."""
    return load_project(find(folder), kinds=KINDS)


@dataclass
class Opened:
    """A project in use. Connections are made, and secrets read, only when asked for."""

    project: Project
    server: EmbeddedServer | None
    live: Rulebook | None = None
    """The live rules, once the hub was asked for them; systems are reached as the files say."""
    names: RowNames | None = None
    """By which the hub's rows are called whose keys are personal, once it was asked."""
    sessions: dict[str, Any] | None = None
    """By system, those that are made so far; None outside `operations.systems.sessions`."""

    @property
    def rulebook(self) -> Rulebook:
        """What everything is decided by: the live rules, or, as long as there are none, those of the files."""
        return self.project.rulebook if self.live is None else self.live

    @property
    def remark(self) -> str:
        """In words, that the files are not what everything is decided by; empty where they are."""
        if self.live is None or self.live.hash == self.project.rulebook.hash:
            return ""
        return (
            f"the files differ from the live rulebook {self.live.hash[:12]}, by which everything is decided: "
            "`fieldwarden plan` shows what they would change, `fieldwarden apply` makes them live"
        )

    @property
    def live_hub(self) -> LiveHub:
        """The hub as it can be asked, by the rules in force. Raises ReferenceUnresolved."""
        from fieldwarden.operations.hub import LiveHub

        return LiveHub(self.hub_dsn, self.hub_schema, self.rulebook, self.names)

    @property
    def file(self) -> ProjectFile:
        """What fieldwarden.yaml says."""
        return self.project.settings

    @property
    def folder(self) -> Path:
        return self.project.folder

    @property
    def hub_schema(self) -> str:
        return self.project.settings.hub.schema_name

    @property
    def hub_dsn(self) -> Secret:
        """Raises ReferenceUnresolved."""
        given = self.project.settings.hub.dsn
        if given is None:
            return self._embedded(_HUB_DATABASE, role=_RUNTIME)
        return self.secret(given, f"{PROJECT_FILE}: hub.dsn")

    @property
    def run_token(self) -> Secret | None:
        """What has to be shown to be told of this process's health. Raises ReferenceUnresolved."""
        given, where = self.project.settings.run.token, f"{PROJECT_FILE}: run.token"
        token = None if given is None else self.secret(given, where)
        if token is not None and not token.reveal().strip():
            raise ReferenceUnresolved("the token is empty", suggestion="give it a long random value", path=where)
        return token

    @property
    def owner_dsn(self) -> Secret:
        """The hub as the role that its schema belongs to. Raises ReferenceUnresolved."""
        hub = self.project.settings.hub
        if hub.dsn is None:
            return self._embedded(_HUB_DATABASE)
        return self.hub_dsn if hub.owner_dsn is None else self.secret(hub.owner_dsn, f"{PROJECT_FILE}: hub.owner_dsn")

    @property
    def onboards_itself(self) -> bool:
        """Whether nobody has to look at the first meeting of the systems before anything is delivered."""
        return self.project.settings.onboarding == "automatic"

    @property
    def future_tolerance(self) -> int:
        """How far ahead a source's time may be, in µs."""
        return int(self.project.settings.limits.future_tolerance.total_seconds() * 1_000_000)

    @property
    def delete_bounds(self) -> Bounds:
        """Past which deletions are held."""
        deletes = self.project.settings.limits.deletes
        return Bounds(deletes.share, deletes.number, int(deletes.window.total_seconds() * 1_000_000))

    @property
    def sources(self) -> list[str]:
        """The systems that are read, by rank."""
        return [name for name, system in self.rulebook.systems.items() if system.read_streams]

    @property
    def targets(self) -> list[str]:
        """The systems that are written, by rank."""
        return [name for name, system in self.rulebook.systems.items() if any(map(_written, system.streams.values()))]

    @property
    def debezium_systems(self) -> list[str]:
        """The systems that Debezium reads, by rank."""
        return [
            name for name, system in self.rulebook.systems.items() if isinstance(system.settings, DebeziumConnector)
        ]

    def check_systems(self, names: Sequence[str]) -> None:
        """Raises UnknownSystem for the first name that is no source of the project."""
        for name in names:
            if name not in self.sources:
                raise UnknownSystem(
                    f"no source is named {name!r}", suggestion=f"the sources are {', '.join(self.sources)}"
                )

    def kafka(self) -> KafkaAccess:
        """How Kafka is reached, secrets included. Raises ReferenceUnresolved, NoKafka."""
        from fieldwarden.operations.kinds.kafka_access import kafka_of

        return kafka_of(self)

    def connect_dsn(self, system: str) -> Secret:
        """A debezium system's connection string as Kafka Connect uses it. Raises ReferenceUnresolved."""
        return self.secret(debezium_settings(self.rulebook.systems[system]).connected_by, self.where(system))

    def dsn(self, system: str) -> Secret:
        """A system's connection string. Raises ReferenceUnresolved."""
        return self.dsn_of(self.rulebook.systems[system])

    def dsn_of(self, system: System) -> Secret:
        """The same, of a system by whatever rulebook. Raises ReferenceUnresolved."""
        return self.secret(database_settings(system).dsn, self.where(system.name))

    def target_dsn(self, system: str) -> Secret:
        """A system's connection string for writing to it. Raises ReferenceUnresolved."""
        return self.target_dsn_of(self.rulebook.systems[system])

    def target_dsn_of(self, system: System) -> Secret:
        """The same, of a system by whatever rulebook. Raises ReferenceUnresolved."""
        return self.secret(database_settings(system).written_by, self.where(system.name))

    def where(self, system: str) -> str:
        """Where it is said how to reach a system: in the live rulebook, of one that the files do not have any more."""
        known = system in self.project.files.systems
        return str(self.project.locate(system)) if known else f"the live rulebook: {system}"

    def migrate(self) -> list[str]:
        """Bring the hub's schema up to date. Raises EnvironmentUnfit."""
        from fieldwarden.engine.hub.migrate import migrate, migrate_for

        embedded = self.project.settings.hub.dsn is None
        schema = self.hub_schema
        return migrate_for(self.owner_dsn, schema, _RUNTIME) if embedded else migrate(self.hub_dsn, schema)

    @contextlib.asynccontextmanager
    async def hub(self) -> AsyncIterator[PostgresHub]:
        """The hub, migrated. Raises EnvironmentUnfit."""
        from fieldwarden.engine.hub.store import PostgresHub

        await asyncio.to_thread(self.migrate)
        hub = PostgresHub(self.hub_dsn, self.hub_schema)
        try:
            yield hub
        finally:
            await hub.close()

    def secret(self, text: str, where: str) -> Secret:
        """A text with every `${...}` followed. Raises ReferenceUnresolved, with `where` for its path."""
        with _told_where(where):
            return self.project.resolve(text, self._embedded)

    def shown(self, text: str, where: str) -> str:
        """The same of a text that is no secret. Raises ReferenceUnresolved."""
        with _told_where(where):
            return self.project.resolve_shown(text)

    def _embedded(self, name: str, role: str = "postgres") -> Secret:
        assert self.server is not None, "opened() starts the server whenever the files refer to it"
        return Secret(self.server.dsn(name, role=role))


@contextlib.contextmanager
def _told_where(where: str) -> Iterator[None]:
    try:
        yield
    except ReferenceUnresolved as error:
        error.path = error.path or where
        raise


def _written(stream: Stream) -> bool:
    return bool(stream.creates or stream.update_fields or stream.on_retire == "delete")


def embedded_databases(project: Project) -> set[str]:
    """The databases of the embedded server that the files refer to."""
    systems = project.rulebook.systems.values()
    texts = [text for system in systems for text in system.settings.texts()]
    texts += [project.settings.hub.dsn or "", project.settings.hub.owner_dsn or ""]
    return {name for text in texts for name in embedded_in(text)}


def state_folder(project: Path) -> Path:
    """The folder of what a project keeps on this machine, closed to others. Raises EnvironmentUnfit."""
    from fieldwarden.engine.hub.server import private
    from fieldwarden.engine.hub.server.host import passing_group

    private.folder(project / STATE, passing_group())
    return project / STATE


@contextlib.contextmanager
def opened(folder: Path | None) -> Iterator[Opened]:
    """The project with its embedded server, if the files refer to one, running and its databases made.

    Raises NoProject, ConfigurationError, EnvironmentUnfit."""
    project = load(folder)
    names = embedded_databases(project)
    if project.settings.hub.dsn is not None and not names:
        yield Opened(project, None)
        return
    from fieldwarden.engine.hub.migrate import admit
    from fieldwarden.engine.hub.server.embedded import EmbeddedServer

    with EmbeddedServer(state_folder(project.folder) / "postgres").use() as server:
        server.ensure_database(_HUB_DATABASE)
        if project.settings.hub.dsn is None:
            admit(server.dsn(_HUB_DATABASE), project.settings.hub.schema_name, _RUNTIME)
        for name in sorted(names):
            script = project.settings.embedded.databases[name]
            server.ensure_database(name, project.folder / script if script else None)
        yield Opened(project, server)


def is_partitioned(project: Opened, system: str) -> bool:
    """Whether any number of workers share a source, each reading some of its partitions."""
    return project.rulebook.systems[system].partitioned
