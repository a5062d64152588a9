"""The checks of a system's file: its streams map what exists, and rows can be found, written and created."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from fieldwarden.rules.expressions import Expression
from fieldwarden.rules.files import Files, reads, writes
from fieldwarden.rules.findings import CheckResults, Page
from fieldwarden.rules.folding import conflict_columns, expression, field_source, root_stream, setting
from fieldwarden.rules.inverse import reading
from fieldwarden.rules.merging_checks import check_merging
from fieldwarden.rules.models import EntityFile, FieldMapping, StreamModel
from fieldwarden.rules.policies import blocks, rule_of
from fieldwarden.rules.table_checks import check_tables
from fieldwarden.rules.tables import constant, constants
from fieldwarden.rules.wording import closest


class SystemCheck:
    """One system's file against the entities; `run` adds what it finds to the findings."""

    def __init__(self, files: Files, name: str, findings: CheckResults) -> None:
        self.files = files
        self.model = files.systems[name].model
        self.page = Page(files.systems[name].document, findings)

    def run(self) -> None:
        roots: dict[str, str] = {}
        written: dict[str, dict[str, str]] = {}
        for name, stream in self.model.streams.items():
            check = _StreamCheck(self.files, self.page, self.model.system, name, stream)
            check.run()
            written[name] = check.written
            if stream.parent is None:
                first = roots.setdefault(stream.entity, name)
                if first != name:
                    message = f"two streams stand for {stream.entity} in {self.model.system}: {first} and {name}"
                    self.page.error_at_key(("streams", name), message, "give one of them a parent:")
        for entity in {stream.entity for stream in self.model.streams.values()} & {*self.files.entities}:
            self.groups(entity)
        check_tables(self.model, self.page, written)
        self.circle()
        self.gaps()

    def gaps(self) -> None:
        """Of a system that is only written to no change can be missed."""
        if "on_gap" in self.page.document.data and not any(
            reads(self.model, stream) for stream in self.model.streams.values()
        ):
            message = f"{self.model.system} is only written to: no change of it is read, so none can be missed"
            self.page.error_at_key(("on_gap",), message, "remove on_gap:")

    def circle(self) -> None:
        """Streams that refer to each other in a circle: rows read for the first time would wait for each other for
        ever. (Rows of one stream may refer to each other.)"""
        edges: dict[str, dict[str, str]] = {name: {} for name in self.model.streams}
        for name, stream in self.model.streams.items():
            for field in stream.fields:
                root = self.referred(stream.entity, field)
                if root is not None and root != name:
                    edges[name].setdefault(root, field)
        try:
            TopologicalSorter(edges).prepare()
        except CycleError as error:
            around: list[str] = error.args[1][::-1]
            field = edges[around[0]][around[1]]
            self.page.error_at_key(
                ("streams", around[0], "fields", field),
                f"streams refer to each other in a circle: {' -> '.join(around)}; their rows would wait for each other",
                "leave out the field of one of them",
            )

    def referred(self, entity: str, field: str) -> str | None:
        known = self.files.entities.get(entity)
        rule = known.model.fields.get(field) if known else None
        return root_stream(self.model, str(rule.type.target)) if rule and rule.type.kind == "ref" else None

    def groups(self, entity: str) -> None:
        """In one system, the fields of a group come from one stream: they win or lose by one row."""
        for group, keys in self.files.entities[entity].model.groups.items():
            homes: dict[str, str] = {}
            for name, stream in self.files.streams(entity, self.model.system):
                homes.update({field: name for field in keys.fields if field in stream.fields})
            first = next((homes[field] for field in keys.fields if field in homes), None)
            for field, home in homes.items():
                if home != first:
                    message = f"the fields of group {group!r} come from two streams: {first} and {home}"
                    hint = "in each system the fields of a group come from one stream"
                    self.page.error_at_key(("streams", home, "fields", field), message, hint)
                    break


def said_by(source: str | FieldMapping) -> frozenset[str]:
    """The columns that say something of a field."""
    try:
        column, read, _ = field_source(source)
    except ValueError:
        return frozenset()
    return frozenset({*([column] if column else []), *(read.columns if read else [])})


class _StreamCheck:
    """One stream. `written` gathers what writes which column: a field's name, or parent, set, external_id."""

    def __init__(self, files: Files, page: Page, system: str, name: str, stream: StreamModel) -> None:
        self.files, self.page, self.stream = files, page, stream
        self.system, self.name = files.systems[system].model, name
        entity = files.entities.get(stream.entity)
        self.entity: EntityFile | None = entity.model if entity else None
        self.reading, self.writing = reads(self.system, stream), writes(self.system, stream)
        self.written: dict[str, str] = {}

    def run(self) -> None:
        self.expressions()
        self.known_entity()
        self.parent()
        check_merging(self.page, self.name, self.stream, reading=self.reading)
        self.fields()
        self.modes()
        if self.stream.create and self.writing:
            self.creation()

    def at(self, *path: str) -> tuple[str, ...]:
        return ("streams", self.name, *path)

    def known_entity(self) -> None:
        if self.entity is None and self.stream.entity not in self.files.unread:
            message = f"{self.stream.entity!r} is not an entity"
            self.page.error(self.at("entity"), message, closest(self.stream.entity, self.files.entities))

    def expressions(self) -> None:
        for key in ("where", "changed_at"):
            text = getattr(self.stream, key)
            if text is not None:
                self.parsed(text, self.at(key))
        if self.stream.unique_where is not None:
            self.parsed(self.stream.unique_where, self.at("unique", "where"))

    def parsed(self, text: str, path: tuple[str, ...]) -> Expression | None:
        try:
            return expression(text)
        except ValueError as error:
            self.page.error(path, str(error))
            return None

    def modes(self) -> None:
        if not self.reading and not self.writing:
            message = f"stream {self.name} is neither read nor written: the system's mode is {self.system.mode}"
            self.page.error(self.at("mode"), message, "leave mode out here")
            return
        if not self.writing and self.stream.create:
            self.page.error_at_key(self.at("create"), "rows cannot be created: mode is source", "remove create")
        if not self.writing and self.stream.on_retire == "delete":
            self.page.error_at_key(self.at("on_retire"), "rows cannot be deleted: mode is source", "remove on_retire")

    # --- child rows

    def parent(self) -> None:
        stream = self.stream
        if stream.parent is None:
            if stream.first_by is not None:
                message = "first_by is for child rows, of which a parent may have several"
                self.page.error_at_key(self.at("first_by"), message, "remove it")
            if stream.unique is not None:
                message = "unique is for child rows; a stream without parent is created by external_id or its own key"
                self.page.error_at_key(self.at("unique"), message, "name an external_id")
            return
        if stream.first_by is not None and not set(stream.key) <= set(stream.first_by):
            whole = ", ".join(dict.fromkeys((*stream.first_by, *stream.key)))
            message = "first_by does not tell any two rows apart: it lacks the key"
            self.page.error(self.at("first_by"), message, f"first_by: [{whole}]")
        ((name, columns),) = stream.parent.items()
        path, parent = self.at("parent", name), self.system.streams.get(name)
        if parent is None:
            hint = closest(name, self.system.streams)
            self.page.error_at_key(path, f"parent {name!r} is not a stream of {self.system.system}", hint)
        elif parent.entity != stream.entity:
            message = f"parent {name} speaks of {parent.entity}, this stream of {stream.entity}"
            self.page.error_at_key(path, message, "a child row speaks of its parent's record")
        elif len(columns) != len(parent.key):
            message = f"the key of {name} has {len(parent.key)} column(s), but {len(columns)} hold it here"
            self.page.error(path, message, f"its key is {', '.join(parent.key)}")
        elif self.name in self.ancestors(name):
            self.page.error_at_key(path, f"stream {self.name} is its own ancestor", "one stream has no parent")

    def ancestors(self, name: str) -> list[str]:
        found: list[str] = []
        while name in self.system.streams and name not in found:
            found.append(name)
            name = next(iter(self.system.streams[name].parent or {}), "")
        return found

    # --- fields

    def fields(self) -> None:
        self.reserve()
        for field, source in self.stream.fields.items():
            path = self.at("fields", field)
            if self.entity is not None and not self.files.has_field(self.entity.entity, field):
                message = f"{self.entity.entity} has no field {field!r}"
                self.page.error_at_key(path, message, closest(field, self.entity.fields))
                continue
            column = self.column(source, path)
            if column is not None:
                self.claim(column, field, path)
            self.reference(field, path)
        self.protected()
        self.touched()

    def touched(self) -> None:
        """What each write sets beside the fields is nobody's word: it must not be one of the columns that say something
        of a record, nor decide which rows are the stream's."""
        stream = self.stream
        if stream.on_write and not self.writing:
            self.page.error_at_key(self.at("on_write"), "rows are never written: mode is source", "remove on_write")
        taken = {column: f"the field {name!r}" for name, source in stream.fields.items() for column in said_by(source)}
        taken |= dict.fromkeys(stream.key, "the key")
        taken |= dict.fromkeys(stream.merged_into or (), "merged_into:")
        taken |= {column: f"{what}:" for column, what in self.written.items() if what not in stream.fields}
        taken |= dict.fromkeys(self.columns(stream.where), "where:")
        for column, text in stream.on_write.items():
            path = self.at("on_write", column)
            try:
                setting(text)
            except ValueError as error:
                self.page.error(path, str(error))
            if column in taken:
                message = f"column {column!r} is written by on_write:, but it belongs to {taken[column]}"
                self.page.error_at_key(path, message, "remove it here, or leave it out there")

    def columns(self, text: str | None) -> frozenset[str]:
        try:
            return expression(text).columns if text else frozenset()
        except ValueError:
            return frozenset()

    def protected(self) -> None:
        """A column that a protected field of this very system is read from is not written for another field, nor for
        any other reason."""
        for block in blocks(self.entity) if self.entity else ():
            rule = rule_of(self.entity, block) if self.entity else {}
            if rule.get("owner") != self.system.system or not rule.get("protected"):
                continue
            for field in sorted(set(block.fields) & self.stream.fields.keys()):
                for column in sorted(said_by(self.stream.fields[field])):
                    other = self.written.get(column, field)
                    if other in block.fields or (other in ("parent", "set", "external_id") and not self.stream.create):
                        continue
                    message = f"column {column!r} is protected, since {field!r} is read from it; {other!r} writes it"
                    self.page.error(self.at("fields", field), message, f"write: false on {other}")

    def reserve(self) -> None:
        """Columns that are written for another reason than a field."""
        for columns in (self.stream.parent or {}).values():
            self.written.update(dict.fromkeys(columns, "parent"))
        for column in self.stream.constants:
            if column in self.written:
                self.page.error_at_key(self.at("set", column), f"column {column!r} holds the parent's key", "remove it")
            self.written[column] = "set"
        if self.stream.external_id:
            self.written[self.stream.external_id] = "external_id"

    def column(self, source: str | FieldMapping, path: tuple[str, ...]) -> str | None:
        """The column this entry writes, if any; errors in its form and its expressions."""
        if isinstance(source, FieldMapping):
            if source.column is None and source.read is None:
                self.page.error(path, "neither a column nor an expression to read", "add column: NAME")
                return None
            if source.column is None and "write" in source.model_fields_set and source.write:
                self.page.error((*path, "write"), "an expression cannot be written", "add column: NAME")
            if source.read is not None and self.parsed(source.read, (*path, "read")) is None:
                return None
        elif self.parsed(source, path) is None:
            return None
        column, read, writable = field_source(source)
        if column is None or not writable or not self.writing:
            return None
        if read is not None:
            self.readable_again(column, read, path)
        return column

    def readable_again(self, column: str, read: Expression, path: tuple[str, ...]) -> None:
        """A column is not written where what was written may not be read again, or a row would be written that is
        another thing."""
        what = reading(read, column)
        if what == "other":
            message = f"column {column!r} is written, but read through {read.text}, which may not give it back"
            hint = "write: false; or, where rows are several things, a stream for each, with table: and where:"
            self.page.error((*path, "read"), message, hint)
        elif what == "normalising":
            message = (
                f"what {read.text} takes away is left as it is: rows that differ only in that are not made equal; "
                "correct them in the systems, or read the column as it is"
            )
            self.page.remark((*path, "read"), message)

    def claim(self, column: str, field: str, path: tuple[str, ...]) -> None:
        if column in (self.stream.merged_into or ()):
            message = f"column {column!r} says which row this one is by now (merged_into): it is never written"
            self.page.error(path, message, f"write {{column: {column}, write: false}} to only read it")
            return
        other = self.written.setdefault(column, field)
        if other == field:
            return
        if other in ("parent", "set", "external_id"):
            message = f"column {column!r} is written by {other}: already"
        else:
            message = f"column {column!r} is written by field {other!r} already"
        self.page.error(path, message, f"write {{column: {column}, write: false}} to only read it")

    def reference(self, field: str, path: tuple[str, ...]) -> None:
        known = self.entity.fields.get(field) if self.entity else None
        if known is None or known.type.kind != "ref" or known.type.target not in self.files.entities:
            return
        target = str(known.type.target)
        root = root_stream(self.system, target)
        if root is None:
            message = f"{field!r} refers to {target}, but no stream of {self.system.system} stands for {target}"
            self.page.error(path, message, f"map {target} in {self.system.system}, or leave the field out here")
        elif len(self.system.streams[root].key) != 1:
            message = f"{field!r} refers to {root}, whose key has several columns: one column cannot hold it"
            self.page.error(path, message, "leave the field out here")

    # --- creating rows

    def creation(self) -> None:
        stream = self.stream
        if stream.parent is not None and stream.unique is None and stream.external_id is None:
            self.found_again()
        elif stream.parent is None and stream.external_id is None and not self.given(stream.key):
            message = "create needs an external_id, or a key whose columns are mapped fields"
            self.page.error_at_key(self.at("create"), message, "add external_id: COLUMN")
        elif stream.parent is None and stream.external_id is None and self.reading:
            self.findable()
        self.belonging()
        for column in self.missing(conflict_columns(stream)) if stream.unique else ():
            message = f"unique names column {column!r}, which nothing sets when a row is created"
            self.page.error(self.at("unique"), message, "map it, or name it under set:")

    def found_again(self) -> None:
        """Where nothing is unique, a child row is looked for by its parent and `where` before it is created: one that
        we create has to fulfil `where`, or it would be created again and again."""
        if self.given(self.stream.key) or self.stream.where is None:
            return
        try:
            needed = sorted(expression(self.stream.where).columns)
        except ValueError:
            return
        for column in self.missing(tuple(needed)):
            message = f"create needs unique, external_id, or that {column!r}, by which `where` tells these rows, is set"
            hint = f"set: {{{column}: ...}}; or unique: [...], with {{columns: ..., where: ...}} for a partial index"
            self.page.error_at_key(self.at("create"), message, hint)

    def belonging(self) -> None:
        """A created row must be one of the stream's."""
        try:
            needed = constants(expression(self.stream.where)) if self.stream.where else {}
        except ValueError:
            return
        for column, text in self.stream.constants.items():
            value = constant(text)
            wanted = needed.get(column, frozenset())
            if value is not None and wanted and all(each[0] == value[0] and each != value for each in wanted):
                message = f"{column} is set to {text!r}, but `where` asks for another: a created row would not be found"
                self.page.error(self.at("set", column), message, "set what `where` asks for")

    def findable(self) -> None:
        """A row that we created by its key may be told of before our link to it is stored, and is no news then only if
        what its key says finds the record."""
        keyed = [self.written[column] for column in self.stream.key if self.written[column] in self.stream.fields]
        if self.entity is None or any({part.field for part in parts} <= set(keyed) for parts in self.entity.match_keys):
            return
        name = self.entity.entity
        message = (
            f"create by the key needs a match key of {name} within it: a created row that comes back before it is "
            "linked would begin a second record"
        )
        key = keyed[0] if len(keyed) == 1 else f"[{', '.join(keyed)}]"
        hint = f"add {key} to identity: match: of {name}, or external_id: COLUMN here"
        self.page.error_at_key(self.at("create"), message, hint if keyed else "add external_id: COLUMN")

    def given(self, columns: tuple[str, ...]) -> bool:
        return not list(self.missing(columns))

    def missing(self, columns: tuple[str, ...]) -> Iterator[str]:
        return (column for column in columns if column not in self.written)
