"""Reads a project's folder into one rulebook, or says everything that is wrong with it at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from fieldwarden.rules.checks import check, check_protecting
from fieldwarden.rules.codes import CodeTable, read_codes
from fieldwarden.rules.debezium_checks import kafka_problems
from fieldwarden.rules.documents import Document, FilePosition, as_text, read_yaml
from fieldwarden.rules.errors import ConfigurationError, Problem
from fieldwarden.rules.files import File, Files, place
from fieldwarden.rules.folding import fold
from fieldwarden.rules.kinds import BUILT_IN, Kinds, KindUnusable
from fieldwarden.rules.models import BuiltInSystemFile, EntityFile, ProjectFile, SystemFile, system_file
from fieldwarden.rules.normalising import BEFORE
from fieldwarden.rules.references import (
    ReferenceUnresolved,
    reference_problems,
    resolve_reference,
    resolved_text,
    secret_problems,
)
from fieldwarden.rules.rulebook import Rulebook
from fieldwarden.rules.secret import Secret, Secretive
from fieldwarden.rules.settings import UnknownSettings
from fieldwarden.rules.wording import Model, closest, validate

__all__ = [
    "PROJECT_FILE",
    "Project",
    "ReferenceUnresolved",
    "load_project",
    "load_rulebook_source",
    "resolve_reference",
    "rulebook_from_documents",
]

PROJECT_FILE = "fieldwarden.yaml"
_INSTALL = "install the package that brings {} (docs/connectors.md)"


@dataclass(frozen=True)
class Project:
    """A folder that has passed every check. Connector settings in `rulebook` still hold their references."""

    folder: Path
    settings: ProjectFile
    rulebook: Rulebook
    files: Files = field(repr=False)
    warnings: tuple[Problem, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    remarks: tuple[Problem, ...] = ()

    def locate(
        self, system: str, stream: str | None = None, field: str | None = None, *, part: str | None = None
    ) -> FilePosition:
        """Where the files speak of a system, its stream, the stream's mapping of `field`, or another `part` of the
        stream (`key`, `where`, `external_id`, ...): for what only the live system can tell is wrong. Without a
        stream, `part` is a key of the connector, or one of its options."""
        return place(self.files, system, stream, field, part)

    def resolve(self, text: str, embedded: Callable[[str], Secretive] | None = None) -> Secret:
        """`resolve_reference` in this project: its environment, and files relative to its folder."""
        return resolve_reference(text, self.environment, embedded, folder=self.folder)

    def resolve_shown(self, text: str) -> str:
        """The same of a text that is no secret, since messages show it."""
        return resolved_text(text, self.environment, folder=self.folder)


def load_project(folder: Path, environment: Mapping[str, str] = os.environ, kinds: Kinds = BUILT_IN) -> Project:
    """`kinds` are the kinds of connector that its systems may have. Raises ConfigurationError with every problem of
    every file."""
    return _FolderReader(folder, kinds).project(environment)


def load_rulebook_source(text: str, kinds: Kinds = BUILT_IN) -> Rulebook:
    """The rulebook back from its `source`, as the hub keeps it: same hash, same rules. It passed the checks of its day;
    those that have come since are for the files. One from before there were normalisers means by a match key what it
    meant then, so that the hub's match keys stay true to it until other rules are applied. A system whose kind of
    connector is not among `kinds` is in it all the same, and cannot be reached."""
    content = json.loads(text)
    reader = _reader(content["entities"], content["systems"], content["codes"], kinds, lenient=True)
    ranks = tuple(content["ranks"])
    files = reader.files(ranks or tuple(reader.systems), tuple(content.get("planned", ())))
    files = replace(files, unnamed=content.get("unnamed", BEFORE))
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return fold(files)


def rulebook_from_documents(
    entities: Sequence[Mapping[str, Any]],
    systems: Sequence[Mapping[str, Any]],
    codes: Mapping[str, str] | None = None,
    ranks: Sequence[str] = (),
    planned: Sequence[str] = (),
    kinds: Kinds = BUILT_IN,
) -> Rulebook:
    """A rulebook without files: each mapping is what the YAML file would hold, `codes` maps a list's name to its
    CSV text, `ranks` names the systems, best first (default: as given), `planned` those that are not connected yet.
    Raises ConfigurationError."""
    reader = _reader(entities, systems, codes or {}, kinds)
    ranked = tuple(ranks) or tuple(str(data.get("system")) for data in systems)
    files = reader.files(ranked, tuple(planned))
    problems = [*reader.problems, *check(files, kinds).errors]
    if problems:
        raise ConfigurationError(problems)
    return fold(files)


def _not_connected(planned: tuple[str, ...], top: Document) -> Problem:
    names = ", ".join(planned)
    return top.key_at("planned").problem(
        f"not connected yet, so that what the rules say of it is not in force: {names}",
        f"when it is there, write its file in systems/ and list it under systems: in {PROJECT_FILE}",
    )


def _reader(
    entities: Sequence[Mapping[str, Any]],
    systems: Sequence[Mapping[str, Any]],
    codes: Mapping[str, str],
    kinds: Kinds,
    *,
    lenient: bool = False,
) -> _Reader:
    reader = _Reader(kinds, lenient=lenient)
    for data in entities:
        reader.entity(Document(f"entities/{data.get('entity')}.yaml", data))
    for data in systems:
        reader.system(Document(f"systems/{data.get('system')}.yaml", data))
    for name, text in codes.items():
        reader.codes(name, f"codes/{name}.csv", text)
    return reader


class _Reader:
    """Gathers files and their problems, until `files` gives what there is to check. `lenient`: a kind of connector that
    is not there is no problem."""

    def __init__(self, kinds: Kinds, *, lenient: bool = False) -> None:
        self._kinds = kinds
        self._lenient = lenient
        self.problems: list[Problem] = []
        self.entities: dict[str, File[EntityFile]] = {}
        self.systems: dict[str, File[SystemFile]] = {}
        self.code_files: dict[str, tuple[str, str]] = {}
        self.vendors: dict[str, Document] = {}
        self.unread: set[str] = set()

    def entity(self, document: Document) -> None:
        model = self.model(EntityFile, document, "entity")
        if model and self.first(model.entity, document, self.entities, "entity"):
            self.entities[model.entity] = File(model, document)

    def system(self, document: Document) -> None:
        model = self.model(self.shape(document), document, "system")
        if model and self.first(model.system, document, self.systems, "system"):
            self.systems[model.system] = File(model, document)

    def shape(self, document: Document) -> type[SystemFile]:
        """The model of a system's file, by the kind of connector that it names."""
        connector = document.data.get("connector")
        kind = connector.get("kind") if isinstance(connector, Mapping) else None
        if not isinstance(kind, str):
            return BuiltInSystemFile  # which says what is missing
        place = document.at("connector", "kind")
        try:
            return system_file(self._kinds[kind].settings)
        except KindUnusable as error:
            problem = place.problem(error.message, error.suggestion)
        except KeyError:
            *others, last = self._kinds
            message = f"there is no kind of connector {kind!r}; there are {', '.join(others)} and {last}"
            problem = place.problem(message, closest(kind, self._kinds, _INSTALL.format(kind)))
        if not self._lenient:
            self.problems.append(problem)
        return system_file(UnknownSettings)

    def model(self, kind: type[Model], document: Document, name_key: str = "") -> Model | None:
        model, problems = validate(kind, document)
        lines = {(problem.file, problem.line) for problem in self.problems} if document.values else set()
        self.problems += [problem for problem in problems if (problem.file, problem.line) not in lines]
        if model is None:
            name = document.data.get(name_key)
            self.unread.add(name if isinstance(name, str) else Path(document.file).stem)
        return model

    def first(self, name: str, document: Document, known: Mapping[str, File[Any]], key: str) -> bool:
        if name not in known:
            return True
        other = known[name].document.file
        place = document.at(key)
        self.problems.append(place.problem(f"{key} {name!r} is defined twice, first in {other}", "join the two files"))
        return False

    def codes(self, name: str, file: str, text: str) -> None:
        self.code_files[name] = (file, text)

    def files(self, ranks: tuple[str, ...], planned: tuple[str, ...] = ()) -> Files:
        for name in planned:  # a file of it may be on its way, and says nothing yet
            self.systems.pop(name, None)
        systems = {*ranks, *self.systems, *planned}
        tables: dict[str, CodeTable] = {}
        for name, (file, text) in self.code_files.items():
            tables[name], problems = read_codes(name, file, text, systems)
            self.problems += problems
        texts = {name: text for name, (_, text) in self.code_files.items()}
        unread = frozenset(self.unread)
        return Files(self.entities, self.systems, tables, ranks, unread, texts, planned=planned, vendors=self.vendors)


class _FolderReader(_Reader):
    def __init__(self, folder: Path, kinds: Kinds) -> None:
        super().__init__(kinds)
        self.folder = folder

    def project(self, environment: Mapping[str, str]) -> Project:
        if not self.folder.is_dir():
            self.fail(str(self.folder), "there is no such folder", "fieldwarden init NAME makes one")
            raise ConfigurationError(self.problems)
        top = self.yaml(PROJECT_FILE, "fieldwarden init NAME lays out a project")
        settings = self.model(ProjectFile, top) if top else None
        for kind, take in (("entities", self.entity), ("systems", self.system)):
            for name in self.listing(kind, "*.yaml", needed=True):
                if settings and kind == "systems" and Path(name).stem in settings.planned:
                    continue
                document = self.yaml(f"{kind}/{name}", "")
                if document:
                    take(document)
                else:
                    self.unread.add(Path(name).stem)
        for name in self.listing("codes", "*.csv", needed=False):
            content = self.read(f"codes/{name}", "")
            text = as_text(f"codes/{name}", content) if content is not None else ""
            if isinstance(text, Problem):
                self.problems.append(text)
                self.unread.add(Path(name).stem)
            elif content is not None:
                self.codes(Path(name).stem, f"codes/{name}", text)
        for name in self.listing("vendors", "*.yaml", needed=False):
            document = self.yaml(f"vendors/{name}", "")
            if document:
                self.vendors[Path(name).stem] = document
        return self.checked(settings, top, environment)

    def checked(self, settings: ProjectFile | None, top: Document | None, environment: Mapping[str, str]) -> Project:
        planned = tuple(name for name in settings.planned if name not in settings.systems) if settings else ()
        files = self.files(settings.systems if settings else (), planned)
        if settings and top:
            self.ranks(settings, top, files)
            self.references(settings, top, files)
        found = check(files, self._kinds)
        if settings and top and planned:
            found.warnings.append(_not_connected(planned, top))
        lines = {(problem.file, problem.line) for problem in self.problems}
        self.problems += [problem for problem in found.errors if (problem.file, problem.line) not in lines]
        if self.problems or settings is None:
            raise ConfigurationError(self.problems)
        rulebook = fold(files)
        protecting = check_protecting(files, rulebook)
        if protecting.errors:
            raise ConfigurationError(protecting.errors)
        warnings, remarks = tuple(sorted(found.warnings + protecting.warnings)), tuple(sorted(found.remarks))
        return Project(self.folder, settings, rulebook, files, warnings, environment, remarks)

    def ranks(self, settings: ProjectFile, top: Document, files: Files) -> None:
        known = {*files.systems, *files.unread}
        for index, name in enumerate(settings.systems):
            place = top.at("systems", index)
            if name in settings.systems[:index]:
                self.problems.append(place.problem(f"system {name!r} is listed twice", "remove one"))
            elif name not in known:
                message = f"system {name!r} has no file in systems/"
                self.problems.append(place.problem(message, closest(name, files.systems)))
        for index, name in enumerate(settings.planned):
            if name in settings.systems or name in settings.planned[:index]:
                place = top.at("planned", index)
                self.problems.append(place.problem(f"system {name!r} is listed twice", "remove one"))
        for name, file in files.systems.items():
            if name not in settings.systems:
                place = file.document.at("system")
                message = f"system {name!r} has no rank"
                self.problems.append(place.problem(message, f"list it under systems: in {PROJECT_FILE}"))

    def references(self, settings: ProjectFile, top: Document, files: Files) -> None:
        """Every `${...}` is well formed and points at something this project has; no password in the open."""
        databases = settings.embedded.databases
        for name, script in databases.items():
            if script and not (self.folder / script).is_file():
                place = top.at("embedded", "databases", name)
                self.problems.append(place.problem(f"there is no file {script}", "a path is relative to this folder"))
        hubs = {"dsn": settings.hub.dsn, "owner_dsn": settings.hub.owner_dsn}
        texts = [(top.at("hub", key), text) for key, text in hubs.items() if text]
        for file in files.systems.values():
            connector, at = file.model.connector, partial(file.document.at, "connector")
            texts += [(at(key), text) for key in connector.connections if (text := getattr(connector, key)) is not None]
            hidden = ((at(key), text) for key in connector.secrets if (text := getattr(connector, key)) is not None)
            self.problems += [place.problem(*words) for place, text in hidden for words in secret_problems(text)]
            for number, text in enumerate(connector.hooks.secrets if connector.hooks is not None else ()):
                self.problems += [at("webhooks", "secrets", number).problem(*words) for words in secret_problems(text)]
        if settings.run.token is not None:
            self.problems += [top.at("run", "token").problem(*words) for words in secret_problems(settings.run.token)]
        for place, text in texts:
            self.problems += [place.problem(*words) for words in reference_problems(text, databases)]
        self.problems += kafka_problems(
            settings.kafka, top, files, databases, lambda name: (self.folder / name).is_file()
        )

    def yaml(self, file: str, suggestion: str) -> Document | None:
        content = self.read(file, suggestion)
        if content is None:
            return None
        document, problems = read_yaml(file, content)
        self.problems += problems
        return document

    def read(self, file: str, suggestion: str) -> bytes | None:
        path = self.folder / file
        try:
            return path.read_bytes()
        except FileNotFoundError:
            self.fail(file, f"there is no {file} in {self.folder}", suggestion)
        except OSError as error:
            self.fail(file, f"it cannot be read: {error.strerror}", "")
        return None

    def listing(self, kind: str, pattern: str, *, needed: bool) -> list[str]:
        folder = self.folder / kind
        names = sorted(path.name for path in folder.glob(pattern)) if folder.is_dir() else []
        for path in folder.glob("*.yml") if pattern == "*.yaml" and folder.is_dir() else ():
            self.fail(f"{kind}/{path.name}", "it would not be read", f"rename it to {path.stem}.yaml")
        if needed and not names:
            self.fail(kind, f"there is no {kind}/{pattern} in {self.folder}", f"write one file for each in {kind}/")
        return names

    def fail(self, file: str, message: str, suggestion: str) -> None:
        self.problems.append(Problem(file, 1, 1, message, suggestion))
