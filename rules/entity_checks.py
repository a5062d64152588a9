"""The checks of an entity's file: its rules name systems that exist, agree with each other, and can be kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fieldwarden.rules.files import Files, reads, writes
from fieldwarden.rules.findings import CheckResults, Page
from fieldwarden.rules.models import FieldModel, PolicyKeys
from fieldwarden.rules.normalising import EXACT, normaliser
from fieldwarden.rules.policies import BELONG, ONE_RULE, Block, blocks, combined, policy_of, rule_of, stated
from fieldwarden.rules.shapes import MatchPart
from fieldwarden.rules.wording import closest

_LISTS = ("seed_from", "order", "among")
_ONLY_PROTECTED = ("on_reject", "approval")

PathParts = tuple[str | int, ...]


class EntityCheck:
    """One entity's file against all the others; `run` adds what it finds to the findings."""

    def __init__(self, files: Files, name: str, findings: CheckResults) -> None:
        self.files = files
        self.model = files.entities[name].model
        self.page = Page(files.entities[name].document, findings)
        self.systems = {*files.systems, *files.unread, *files.planned}

    def run(self) -> None:
        self.types()
        self.identity()
        self.deletion()
        self.groups()
        self.named_systems()
        self.rule(("defaults",), self.model.defaults, combined({}, stated(self.model.defaults)))
        for block in blocks(self.model):
            if not block.group or self.agreement(block):
                self.block(block)

    # --- names

    def types(self) -> None:
        for name, field in self.model.fields.items():
            self.validators(name, field)
            target, path = field.type.target, ("fields", name, "type")
            if field.type.kind == "code" and target not in {*self.files.codes, *self.files.unread}:
                hint = closest(str(target), self.files.codes, "add the file")
                self.page.error(path, f"there is no code list codes/{target}.csv", hint)
            if field.type.kind == "ref" and target not in self.files.entities and target not in self.files.unread:
                self.page.error(path, f"{target!r} is not an entity", closest(str(target), self.files.entities))

    def validators(self, name: str, field: FieldModel) -> None:
        if field.check and field.type.kind != "text":
            message = f"check goes with fields of type text; {name!r} is of type {field.type}"
            self.page.error_at_key(("fields", name, "check"), message, "remove it: the type is checked anyway")
        if field.on_invalid and not field.check:
            message = "on_invalid says what becomes of a value that fails a check, and there is none"
            self.page.error_at_key(("fields", name, "on_invalid"), message, "add check: ..., or remove it")

    def identity(self) -> None:
        for index, parts in enumerate(self.model.match_keys):
            for part in parts:
                self.match_part(("identity", "match", index, *part.path), part)
        if not self.model.match_keys and self.model.identity != "none":
            self.unmatched()

    def match_part(self, path: PathParts, part: MatchPart) -> None:
        if not self.files.has_field(self.model.entity, part.field):
            message = f"match key names {part.field!r}, which is not a field of {self.model.entity}"
            place = self.page.error if part.form is None else self.page.error_at_key
            place(path, message, closest(part.field, self.model.fields))
        elif part.form is not None:
            field = self.model.fields.get(part.field)
            try:
                normaliser(part.form)
            except ValueError as error:
                self.page.error(path, str(error))
                return
            if field is not None and part.form != EXACT and field.type.kind not in ("text", "code"):
                message = f"{part.field!r} is of type {field.type}, of which every value has one spelling"
                self.page.error(path, message, f"write {part.field} without a normaliser")

    def unmatched(self) -> None:
        """Rows of two systems that nothing brings together would be created in each other's system, twice over."""
        entity = self.model.entity
        roots = [
            (self.files.systems[system].model, stream)
            for system in self.files.ranked()
            for _, stream in self.files.streams(entity, system)
            if stream.parent is None
        ]
        read = [system.system for system, stream in roots if reads(system, stream)]
        created = [system.system for system, stream in roots if stream.create and writes(system, stream)]
        if len(read) < 2 or not created:
            return
        message = (
            f"no match key tells which {entity} of {' and '.join(read)} are the same: what more than one of them has "
            f"would be created in {' and '.join(created)} once more"
        )
        hint = "add identity: {match: [FIELD]}, or identity: none if no two systems ever begin with the same"
        stands = "identity" if "identity" in self.page.document.data else "entity"
        self.page.error_at_key((stands,), message, hint)

    def deletion(self) -> None:
        for index, system in enumerate(self.model.delete.authority if self.model.delete else ()):
            path: PathParts = ("delete", "authority", index)
            if self.known(system, path, "authority") and system in self.files.systems:
                streams = self.files.streams(self.model.entity, system)
                if not any(stream.parent is None for _, stream in streams):
                    message = f"{system} has no stream whose rows stand for {self.model.entity}"
                    self.page.error(path, message, "only a system that has the record can retire it")

    def groups(self) -> None:
        taken: dict[str, str] = {}
        for group, model in self.model.groups.items():
            if group in self.model.fields:
                message = f"{group!r} is both a field and a group"
                self.page.error_at_key(("groups", group), message, "give the group another name")
            for index, name in enumerate(model.fields):
                path: PathParts = ("groups", group, "fields", index)
                if not self.files.has_field(self.model.entity, name):
                    message = f"{name!r} is not a field of {self.model.entity}"
                    self.page.error(path, message, closest(name, self.model.fields))
                elif name in taken:
                    message = f"field {name!r} is already in group {taken[name]!r}"
                    self.page.error(path, message, "a field belongs to one group")
                else:
                    taken[name] = group

    def named_systems(self) -> None:
        for path, keys in self.policies():
            if keys.owner is not None:
                self.known(keys.owner, (*path, "owner"), "owner")
            for key in _LISTS:
                names = getattr(keys, key) or ()
                for index, name in enumerate(names):
                    if name in names[:index]:
                        self.page.error((*path, key, index), f"{key} names {name!r} twice", "remove one")
                    else:
                        self.known(name, (*path, key, index), key)

    def known(self, system: str, path: PathParts, key: str) -> bool:
        if system not in self.systems:
            message = f"{key} names {system!r}, which is not a system"
            self.page.error(path, message, closest(system, self.files.systems))
        return system in self.systems

    def policies(self) -> Iterator[tuple[PathParts, PolicyKeys]]:
        yield ("defaults",), self.model.defaults
        for name, field in self.model.fields.items():
            yield ("fields", name), field
        for name, group in self.model.groups.items():
            yield ("groups", name), group

    # --- rules

    def rule(self, path: PathParts, keys: PolicyKeys, rule: dict[str, Any]) -> None:
        """The keys that stand at `path` mean something under the rule they are part of."""
        own, strategy = stated(keys), rule["strategy"]
        if own.get("strategy") == "owner" and "owner" not in rule:
            self.page.error((*path, "strategy"), "strategy owner needs an owner", "add owner: SYSTEM")
        for key in own:
            if key == "strategy" or key in BELONG[strategy]:
                continue
            if key == "protected" and not own[key]:
                continue
            if strategy != "owner" and key in BELONG["owner"]:
                if key == "owner":
                    message, hint = f"a field has an owner or strategy {strategy}, not both", "remove one of the two"
                else:
                    message, hint = f"{key} goes with an owner, but the strategy is {strategy}", "add owner: SYSTEM"
                self.page.error_at_key((*path, key), message, hint)
            else:
                hint = {"among": "recency"}.get(key, "source_priority, first_non_null or recency")
                message = f"{key} has no meaning with strategy {strategy}"
                self.page.error_at_key((*path, key), message, f"it goes with strategy {hint}")
        if strategy == "owner":
            self.owner_rule(path, own, rule)

    def owner_rule(self, path: PathParts, own: Any, rule: dict[str, Any]) -> None:
        if not rule.get("protected"):
            for key in _ONLY_PROTECTED:
                if key in own:
                    message = f"{key} goes with protected: true; an unprotected edit is never refused"
                    self.page.error_at_key((*path, key), message, "add protected: true, or remove it")
        if rule.get("owner") in own.get("seed_from", ()):
            index = own["seed_from"].index(rule["owner"])
            self.page.error((*path, "seed_from", index), "the owner cannot seed its own field", "remove it")

    def agreement(self, block: Block) -> bool:
        """The fields of a group say one and the same, or say nothing and the group says it."""
        group = stated(self.model.groups[block.name])
        said = {key: (f"group {block.name!r}", value) for key, value in group.items()}
        before = len(self.page.findings.errors)
        for name in block.fields:
            for key, value in stated(self.model.fields[name]).items():
                who, other = said.setdefault(key, (f"field {name!r}", value))
                if other != value:
                    self.disagreement(block, name, key, value, who, other)
        if len(self.page.findings.errors) > before:
            return False
        whole = rule_of(self.model, block)
        for name in block.fields:
            alone = combined(stated(self.model.defaults), {**stated(self.model.fields[name]), **group})
            if any(alone.get(key) != whole.get(key) for key in ONE_RULE):
                message = (
                    f"fields of group {block.name!r} must agree: {name!r} says {_words(alone)}, others {_words(whole)}"
                )
                hint = f"write the policy on the group {block.name!r}"
                self.page.error_at_key(("fields", name), message, hint)
                return False
        return True

    def disagreement(self, block: Block, name: str, key: str, value: Any, who: str, other: Any) -> None:
        path: PathParts = ("fields", name, key)
        if key == "owner":
            message = f"two systems claim {name!r}: {who} says owner {other}, field {name!r} says owner {value}"
            self.page.error(path, message, "a field has one owner")
        else:
            message = f"fields of group {block.name!r} must agree: {who} says {key} {_said(other)}, this {_said(value)}"
            self.page.error(path, message, f"write the policy on the group {block.name!r}")

    # --- can the rule be kept?

    def block(self, block: Block) -> None:
        rule = rule_of(self.model, block)
        paths: list[PathParts] = [("groups", block.name)] if block.group else []
        paths += [("fields", name) for name in block.fields]
        for path in paths:
            self.rule(path, self.keys_at(path), rule)
        owner = rule.get("owner")
        if owner is not None and rule["strategy"] == "owner":
            self.owner_maps(block, owner, paths)
        else:
            self.somebody_maps(block, paths[0])
        self.idle_systems(block, paths)

    def keys_at(self, path: PathParts) -> PolicyKeys:
        kind, name = path
        return self.model.groups[str(name)] if kind == "groups" else self.model.fields[str(name)]

    def owner_maps(self, block: Block, owner: str, paths: list[PathParts]) -> None:
        if owner not in self.files.systems:
            return
        for name in block.fields:
            if owner in self.files.suppliers(self.model.entity, (name,)) or self.model.fields[name].optional:
                continue
            stating = [path for path in [*paths, ("defaults",)] if self.states(path, "owner")]
            own: PathParts = ("fields", name)
            path = own if own in stating else stating[0]
            if any(name in stream.fields for _, stream in self.files.streams(self.model.entity, owner)):
                message = f"owner {owner} never supplies {name!r}: the stream that maps it is not read (mode: target)"
            else:
                message = f"owner {owner} does not map {name!r}"
            self.page.error((*path, "owner"), message, f"map it in {self.files.systems[owner].document.file}")

    def states(self, path: PathParts, key: str) -> bool:
        keys = self.model.defaults if path == ("defaults",) else self.keys_at(path)
        return key in stated(keys)

    def somebody_maps(self, block: Block, path: PathParts) -> None:
        if self.files.planned or any(system in self.files.unread for system in self.files.ranks):
            return  # it may be the one that has it
        unmapped = [name for name in block.fields if not self.files.mapped(self.model.entity, name)]
        for name in unmapped:
            self.page.warning(("fields", name), f"no system maps {name!r}", "map it, or remove it")
        if not unmapped and not policy_of(self.files, self.model, block).order:
            what = f"all fields of group {block.name!r}" if block.group else repr(block.name)
            message = f"no system that may supply {what} maps it and is read"
            self.page.error_at_key(path, message, "map it, or name other systems")

    def idle_systems(self, block: Block, paths: list[PathParts]) -> None:
        for path in paths:
            keys = self.keys_at(path)
            for key in _LISTS:
                for index, system in enumerate(getattr(keys, key) or ()):
                    lacking = [n for n in block.fields if system not in self.files.suppliers(self.model.entity, (n,))]
                    if lacking and system in self.files.systems:
                        message = f"{key} names {system!r}, which does not supply {', '.join(lacking)}"
                        self.page.warning((*path, key, index), message, "map it there, or remove the system")


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)


def _words(rule: dict[str, Any]) -> str:
    if rule["strategy"] == "owner":
        return f"owner {rule.get('owner')}{', protected' if rule.get('protected') else ''}"
    listed = rule.get("among") or rule.get("order") or ()
    return " ".join([rule["strategy"], *([_said(tuple(listed))] if listed else [])])
