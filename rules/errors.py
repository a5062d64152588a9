"""The root of the one error tree, drawn whole, and the part of it that speaks of configuration.

A number is the exit code of the command that an error ends: 1 at run time, 2 usage or configuration, 3 environment.

    FieldwardenError 1
    ├── ConfigurationError 2          rules.errors          the files a person wrote are wrong; nothing was started
    ├── ReferenceUnresolved 3         rules.references      a secret's reference points at nothing
    ├── KindUnusable 2                rules.kinds           a kind of connector is installed, and cannot be imported
    ├── ValueRefused 1                rules.errors          a value that its field's type cannot carry: bad data
    ├── EngineError 1                 engine.errors
    │   ├── TransientError 1          engine.errors         try again with backoff; nothing was lost
    │   │   ├── IdentityMoved 1       engine.errors         another record may be what this batch looked for: again
    │   │   ├── PartitionLost 1       engine.errors         another worker reads this partition now: go on with ours
    │   │   └── TargetBusy 1          engine.errors         the target asked for a pause (`retry_after`, seconds)
    │   ├── EnvironmentUnfit 3        engine.errors         a server, privilege or setting is missing
    │   │   ├── ProtectedColumn 3     connectors.postgres   a write set would hold an owner's protected column
    │   │   └── SlotTaken 3           engine.errors         our slot is another's: halt, and take nothing over
    │   ├── DecodeError 1             engine.errors         what came is not the protocol's: the source halts
    │   ├── Fenced 1                  engine.errors         another worker took over: stop, acknowledge nothing
    │   │   └── RulesChanged 1        engine.errors         other rules are live by now: decide anew, by them
    │   ├── LedgerBroken 1            engine.errors         the ledger does not verify
    │   ├── SchemaDrift 1             engine.errors         a mapped column vanished or changed: its stream stops
    │   ├── SourceGap 1               engine.errors         changes after our position are gone: a new baseline
    │   ├── GuardViolation 1          engine.guard          a write outside the rulebook: a bug, the process stops
    │   ├── ApplyRuns 1               engine.hub            another process brings records under new rules now
    │   ├── CannotDecide 1            engine.hub            the records are not what a steward's decision needs
    │   ├── ConditionRefused 2        connectors.postgres   a condition of a backfill is none
    │   ├── ConnectRefused 1          connectors.debezium   Kafka Connect does not do it, and says why
    │   ├── ConnectorDown 1           connectors.debezium   the connector does not run: nothing can be asked of it
    │   ├── SignalIgnored 1           connectors.debezium   the connector runs, but did not take up the signal
    │   ├── SnapshotFailed 1          connectors.debezium   it took up the signal, and did not read the rows
    │   └── UnknownConnector 1        connectors.debezium   Kafka Connect has none of that name
    ├── AmbiguousName 1               engine.hub            several records have this key (`candidates`)
    ├── NotFound 1                    engine.hub            the name is right, but there is nothing of that key
    ├── UnknownName 2                 engine.hub            no entity, field, system or outcome is called so
    ├── BadFilter 2                   operations            a filter cannot be read
    ├── CannotApply 2                 operations            the records there are cannot be brought under the files
    ├── CannotDemo 2                  operations            the folder is not a demo's, or is in use
    ├── CannotInit 2                  operations            the folder is taken, or the name cannot be one
    ├── CannotWrite 1                 operations            the file asked for cannot be written
    ├── ConnectorInvalid 2            operations            Kafka Connect finds a configuration wrong
    ├── LiveUnreadable 3              operations            the live rules were altered, or are another version's
    ├── NoConnect 2                   operations            the files do not say where Kafka Connect is
    ├── NoKafka 2                     operations            something asks for Kafka in a project that has none
    ├── NoProject 2                   operations            there is no project where one was looked for
    ├── NoSuchDeletion 2              operations            no deletion is held under this id
    ├── NoSuchLetter 2                operations            nothing is set aside under this id
    ├── NotARecord 2                  operations            what was named is not the id of a record, or one twice
    ├── NotRead 1                     operations            not all was read that somebody should have looked at
    ├── NothingChosen 2               operations            neither ids nor a filter, or both
    ├── NothingToRead 2               operations            what a backfill asks for means no table, or not one
    ├── RunFailed 1                   operations            the process cannot go on, or come to its end
    ├── SandboxRefused 2              sandbox               a sandbox's vendor, fault, port or data is none
    ├── StalePlan 1                   operations            the plan was made for other files or other live rules
    └── UnknownSystem 2               operations            no system of the project is called so

Every error says what happened, where, and what to do. No message carries a row's value or a secret. Which of them is
retried is decided in one table, `engine.running.retry`, not here. Anything else that escapes is a bug: the process
stops and nothing is acknowledged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FieldwardenError(Exception):
    """Anything Fieldwarden reports on purpose.

    `code` is stable and machine-readable, `suggestion` says what to do next, `path` where it happened.
    `exit_code` is what the CLI ends with: 1 run-time failure, 2 configuration, 3 environment.
    """

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, suggestion: str = "", path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.suggestion = suggestion
        self.path = path


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in one configuration file: where it stands, what it is, what would mend it."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str = ""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{text} ({self.suggestion})" if self.suggestion else text


class ConfigurationError(FieldwardenError):
    """Every problem found in the project's files, all at once, in file order."""

    code = "configuration"
    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        super().__init__(
            "\n".join(str(problem) for problem in self.problems),
            suggestion=f"mend the {count} problem{'s' if count != 1 else ''} above and run `fieldwarden validate`",
            path=self.problems[0].file if self.problems else "",
        )


class ValueRefused(FieldwardenError):
    """A value that its field's type cannot carry exactly (bad data). The message never holds the value."""

    code = "value_refused"
