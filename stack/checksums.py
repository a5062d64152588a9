"""What Maven's artefacts have to be: a committed SHA-256 of every file that it lays out, compared before any is used.

Maven checks what it downloads against what the same server says of it, which proves nothing about the server. One
list per profile of `pom.xml`, as `sha256sum --check` reads it (the image of Kafka Connect does), and one of the Maven
coordinates of the jars, for the bill of materials. They name files, never where they came from. `make lock-artefacts`
renews them after a change of `pom.xml`.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

LISTS = Path(__file__).with_name("checksums")
COORDINATES = LISTS / "coordinates.txt"
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")
_SHOWN = 5


class Mismatch(Exception):
    """What was fetched is not what is recorded; the message says which files, and what to do."""


def recorded(profile: str, lists: Path = LISTS) -> dict[str, str]:
    """File below the target folder -> its SHA-256 in hex. Raises Mismatch if nothing is recorded of the profile."""
    path = lists / f"{profile}.sha256"
    if not path.exists():
        raise Mismatch(f"nothing is recorded of the profile {profile} ({path}): make lock-artefacts")
    found = [_LINE.fullmatch(line) for line in path.read_text("utf-8").splitlines()]
    assert all(found), f"{path} is not as sha256sum writes it"
    return {match[2]: match[1] for match in found if match}


def found(folders: Iterable[Path], target: Path) -> dict[str, str]:
    """The same of what stands in the folders, which are below `target`."""
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(target).as_posix(): _digest(path) for path in files}


def verify(profile: str, folders: Iterable[Path], target: Path, lists: Path = LISTS) -> None:
    """Raises Mismatch for a file that is another one than recorded, is missing, or was never recorded."""
    wanted, there = recorded(profile, lists), found(folders, target)
    wrong = [
        f"{name} is another file than recorded" for name in wanted if there.get(name, wanted[name]) != wanted[name]
    ]
    wrong += [f"{name} is missing" for name in wanted if name not in there]
    wrong += [f"{name} was never recorded" for name in there if name not in wanted]
    if wrong:
        more = f"\n  and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        listed = "\n  ".join(wrong[:_SHOWN])
        raise Mismatch(
            f"what Maven brought for the profile {profile} is not what is recorded in {lists}; it is not used:\n"
            f"  {listed}{more}\n"
            "If you changed pom.xml: make lock-artefacts, and look at what it changes. If not, somebody else did: "
            "remove the files from the local Maven repository, fetch again, and do not run them while they differ."
        )


def record(profile: str, folders: Iterable[Path], target: Path, lists: Path = LISTS) -> None:
    """Write down what stands there now."""
    lists.mkdir(exist_ok=True)
    text = "".join(f"{digest}  {name}\n" for name, digest in found(folders, target).items())
    (lists / f"{profile}.sha256").write_text(text, "utf-8")


def record_coordinates(folders: Iterable[Path], target: Path, coordinates: Path = COORDINATES) -> None:
    """Write down `file group:artifact:version` of every jar that says so itself."""
    jars = sorted({path for folder in folders for path in folder.rglob("*.jar")})
    told = {path.relative_to(target).as_posix(): coordinate for path in jars if (coordinate := _coordinate(path))}
    coordinates.write_text("".join(f"{name} {told[name]}\n" for name in sorted(told)), "utf-8")


def recorded_coordinates(coordinates: Path = COORDINATES) -> Mapping[str, tuple[str, str, str]]:
    """File -> (group, artifact, version)."""
    lines = (line.split(" ") for line in coordinates.read_text("utf-8").splitlines())
    return {name: (*coordinate.split(":"),) for name, coordinate in lines}  # type: ignore[misc]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _coordinate(jar: Path) -> str:
    """As the jar's own pom.properties say, of the one whose artifact the file is named after; empty where none is."""
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.startswith("META-INF/maven/") and name.endswith("/pom.properties"):
                lines = archive.read(name).decode("utf-8", "replace").splitlines()
                told = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
                artifact = told.get("artifactId", "").strip()
                version = told.get("version", "").strip()
                if artifact and version and f"{artifact}-{version}" in jar.name:
                    return f"{told['groupId'].strip()}:{artifact}:{version}"
    return ""
