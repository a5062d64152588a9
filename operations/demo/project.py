"""What a demo is made of: a folder that is marked as one, and the edits that are carried out in its systems."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from fieldwarden.engine.hub.conninfo import without_password
from fieldwarden.engine.hub.server import private
from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.operations.examples import lay_out
from fieldwarden.operations.project import STATE, Opened, state_folder
from fieldwarden.rules.errors import FieldwardenError

_EXAMPLE = "quote-to-cash"
_MARKER = Path(STATE) / "demo.json"


class CannotDemo(FieldwardenError):
    """The folder is not a demo's, is in use, or its edits were cut off in the middle."""

    code = "demo"
    exit_code = 2


@dataclass
class Marker:
    """What makes a folder a demo's: which files of `edits/` have been carried out there."""

    folder: Path
    done: list[str] = field(default_factory=list)
    example: str = _EXAMPLE

    @classmethod
    def read(cls, folder: Path) -> Marker | None:
        try:
            kept = json.loads((folder / _MARKER).read_text("utf-8"))
            return cls(folder, kept["edits"], kept["demo"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self) -> None:
        path = self.folder / _MARKER
        state_folder(self.folder)
        new = path.with_suffix(".new")
        private.write(new, json.dumps({"demo": self.example, "edits": self.done}, indent=1) + "\n")
        new.replace(path)


def prepare(folder: Path, *, fresh: bool, example: str = _EXAMPLE) -> Marker:
    """The demo's folder: an example laid out if it is new or empty, else as it was left. `fresh` begins anew.

    Never touches a folder that no demo has made. Raises CannotDemo."""
    marker = Marker.read(folder)
    if folder.exists() and marker is None and (not folder.is_dir() or any(folder.iterdir())):
        raise CannotDemo(
            f"{folder} is there already and is not a demo's",
            suggestion="choose another folder: fieldwarden demo --folder DIR",
            path=str(folder),
        )
    if marker is not None and marker.example != example:
        raise CannotDemo(
            f"{folder} is the demo of {marker.example}, not of {example}",
            suggestion="choose another folder: fieldwarden demo --folder DIR",
            path=str(folder),
        )
    if marker is not None and fresh:
        _remove(folder)
        marker = None
    if marker is None:
        marker = Marker(folder, example=example)
        marker.write()
    if not (folder / STATE / "postgres").exists():  # new, or cut off while it was laid out
        lay_out(example, folder)
    return marker


def _remove(folder: Path) -> None:
    """Stop the folder's server and delete the folder; not while another process uses it."""
    server = EmbeddedServer(folder / STATE / "postgres")
    if server.folder.exists() and not server.stop_unless_used():
        raise CannotDemo(
            f"another process is using {folder}",
            suggestion="stop it (a `demo --keep-running` or `run`) and try again",
            path=str(folder),
        )
    shutil.rmtree(folder)


def steps(folder: Path) -> list[list[Path]]:
    """The files `edits/N-what.system.sql`, those with the same N together, in order."""
    together: dict[int, list[Path]] = {}
    for path in sorted((folder / "edits").glob("*.sql")):
        together.setdefault(int(path.name.split("-", 1)[0]), []).append(path)
    return [together[number] for number in sorted(together)]


def title(step: list[Path]) -> str:
    """`2-both-at-once.crm.sql` ... -> `both at once: billing, crm, erp`."""
    what = step[0].name.split("-", 1)[1].split(".", 1)[0].replace("-", " ")
    return f"{what}: {', '.join(system_of(path) for path in step)}"


def system_of(path: Path) -> str:
    return path.name.split(".")[-2]


def psql(project: Opened, system: str) -> tuple[list[str], dict[str, str]]:
    """The command by which a person would edit a system, and what its environment has to hold: a password does not
    stand in a command line, which everybody on the machine can list."""
    assert project.server is not None, "the demo's hub is embedded, and psql comes with it"
    words, password = without_password(project.dsn(system))
    return [str(project.server.bin("psql")), words], {"PGPASSWORD": password} if password else {}


def carry_out(project: Opened, path: Path) -> None:
    """Carry out one file as a person would, with psql. Raises CannotDemo."""
    command, environment = psql(project, system_of(path))
    done = subprocess.run(
        [*command, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", str(path)],
        env={**os.environ, **environment},
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for us, not for an edit under way
    )
    if done.returncode:
        raise CannotDemo(
            f"the edits in {path.name} failed: {done.stderr.strip().splitlines()[0]}",
            suggestion="begin anew: fieldwarden demo --fresh",
            path=str(path),
        )
