"""`make sbom`: a bill of materials (CycloneDX) of everything that is fetched, from the lock and the recorded checksums.

It needs neither a network nor what was fetched, and is the same for the same commit: a scanner elsewhere can compare it
with what is known of each part.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from stack import checksums

ROOT = Path(__file__).resolve().parents[1]
PLACE = ROOT / "dist" / "sbom.cdx.json"
_PACKAGE = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def bill(root: Path = ROOT, profiles: tuple[str, ...] = ("kafka", "avro", "registry")) -> str:
    """The bill as JSON text."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    parts = [*python((root / "requirements.lock").read_text("utf-8")), *maven(profiles)]
    bom = Bom(components=parts)
    bom.metadata.component = Component(
        name=project["name"], version=project["version"], type=ComponentType.APPLICATION, bom_ref=project["name"]
    )
    bom.register_dependency(bom.metadata.component, parts)
    listed = sorted(f"{each.bom_ref.value}{sorted(str(one.content) for one in each.hashes)}" for each in parts)
    bom.serial_number = uuid5(NAMESPACE_URL, "\n".join(listed))
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]  # the same commit, the same bill
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def python(lock: str) -> Iterator[Component]:
    """The locked packages, each with the hashes of all files that it may be installed from."""
    for name, version, rest in _PACKAGE.findall(lock):
        url = PackageURL("pypi", None, name.lower(), version)
        yield _part(name, version, url, _HASH.findall(rest), str(url))


def maven(profiles: tuple[str, ...]) -> Iterator[Component]:
    """Every jar that Maven brings, by its own coordinates; where it tells none, by its file's name alone."""
    coordinates = checksums.recorded_coordinates()
    for profile in profiles:
        for file, digest in checksums.recorded(profile).items():
            if file.endswith(".jar"):
                group, artifact, version = coordinates.get(file, ("", Path(file).stem, ""))
                url = PackageURL("maven", group, artifact, version) if group else None
                yield _part(artifact, version, url, [digest], file)


def _part(name: str, version: str, url: PackageURL | None, digests: list[str], reference: str) -> Component:
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in digests]
    where = [Property(name="fieldwarden:file", value=reference)] if reference.endswith(".jar") else []
    return Component(
        name=name,
        version=version or None,
        type=ComponentType.LIBRARY,
        purl=url,
        hashes=hashes,
        properties=where,
        bom_ref=reference,
    )
