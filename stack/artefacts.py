"""What the stack is made of: fetched once by Maven into `stack/target`, again whenever `pom.xml` changes, and used only
if it is what is recorded (`stack.checksums`)."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from fieldwarden.engine.hub.server import private
from stack import checksums

POM = Path(__file__).with_name("pom.xml")
TARGET = POM.with_name("target")
KAFKA, PLUGINS, CONVERTERS, REGISTRY = (TARGET / name for name in ("kafka", "plugins", "converters", "registry"))
_FOLDERS = {"kafka": [KAFKA, PLUGINS], "avro": [CONVERTERS], "registry": [REGISTRY]}  # profile of the pom -> its output
_OLDEST_JAVA = 17
_TRIES = 3
_TURN_SECONDS = 2 * 3600.0  # as long as all downloads of another process may take


class StackUnfit(Exception):
    """The stack cannot run on this machine, or did not start; the message says why and what to do."""


def why_unfit() -> str | None:
    """Why the stack cannot run here, in a sentence; None if it can. Asks `java` for its version, downloads nothing."""
    try:
        shown = subprocess.run([java(), "-version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"no program `java`: install Java {_OLDEST_JAVA} or newer, or set JAVA_HOME"
    version = re.search(r'version "(\d+)', shown.stderr)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        return f"Java {_OLDEST_JAVA} or newer is needed, found: {(shown.stderr.splitlines() or ['nothing'])[0]}"
    if shutil.which("mvn") is None and not all(map(_fetched, _FOLDERS)):
        return "no program `mvn`: install Maven, which fetches Kafka and Debezium"
    return None


def java() -> str:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else "java"


def fetch(*profiles: str) -> None:
    """Bring what these profiles of the pom name (`kafka`, `avro`, `registry`), unless it is here already.

    The first time this downloads about 120 MB for `kafka`, 10 for `avro`, 140 for `registry`. Two processes take turns.
    Raises StackUnfit with Maven's own words, or if what it brought is not what is recorded.
    """
    TARGET.mkdir(exist_ok=True)
    with private.locked(TARGET / "lock", seconds=_TURN_SECONDS):
        for profile in profiles:
            if not _fetched(profile):
                _bring(profile)


def lock() -> None:
    """Fetch everything anew and record what it is. Raises StackUnfit."""
    TARGET.mkdir(exist_ok=True)
    with private.locked(TARGET / "lock", seconds=_TURN_SECONDS):
        for profile, folders in _FOLDERS.items():
            _lay_out(profile)
            checksums.record(profile, folders, TARGET)
        checksums.record_coordinates((folder for folders in _FOLDERS.values() for folder in folders), TARGET)
        for profile in _FOLDERS:
            _accept(profile)


def _stamp(profile: str) -> Path:
    return TARGET / f"fetched-{profile}"


def _wanted(profile: str) -> str:
    """What a profile is fetched for: the pom, and what its artefacts have to be."""
    recorded = checksums.LISTS / f"{profile}.sha256"
    return hashlib.sha256(POM.read_bytes() + (recorded.read_bytes() if recorded.exists() else b"")).hexdigest()


def _fetched(profile: str) -> bool:
    stamp = _stamp(profile)
    return stamp.exists() and stamp.read_text() == _wanted(profile)


def _bring(profile: str) -> None:
    _lay_out(profile)
    try:
        checksums.verify(profile, _FOLDERS[profile], TARGET)
    except checksums.Mismatch as error:
        raise StackUnfit(str(error)) from error
    _accept(profile)


def _accept(profile: str) -> None:
    """What was laid out may be used from now on."""
    if profile == "avro":
        _name_the_converter()
    _stamp(profile).write_text(_wanted(profile))


def _lay_out(profile: str) -> None:
    _stamp(profile).unlink(missing_ok=True)
    # Maven leaves what it unpacked alone while its marker stands, and never removes the jars of an older version.
    for folder in [*_FOLDERS[profile], TARGET / "dependency-maven-plugin-markers"]:
        shutil.rmtree(folder, ignore_errors=True)
    _maven(profile)


def _maven(profile: str) -> None:
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(POM), "--activate-profiles", profile]
    for attempt in range(1, _TRIES + 1):
        # Maven remembers for a day that a file was not to be had; a second try has to ask again (-U).
        renew = ["--update-snapshots"] if attempt > 1 else []
        try:
            done = subprocess.run(
                [*command, *renew, "generate-resources"], capture_output=True, text=True, check=False, timeout=1800
            )
        except FileNotFoundError:
            raise StackUnfit("no program `mvn`: install Maven, which fetches Kafka and Debezium") from None
        if done.returncode == 0:
            return
    raise StackUnfit(f"Maven could not fetch the stack (profile {profile} of {POM}):\n{done.stdout[-2000:]}")


def _name_the_converter() -> None:
    """Apicurio's archive does not say which of its classes is a converter, as Connect's `plugin.discovery=service_load`
    wants it; the other way to find it, reading every class of every plugin, costs six seconds at each start."""
    with zipfile.ZipFile(CONVERTERS / "avro" / "manifest.jar", "w") as manifest:
        manifest.writestr(
            "META-INF/services/org.apache.kafka.connect.storage.Converter",
            "io.apicurio.registry.utils.converter.AvroConverter\n",
        )
