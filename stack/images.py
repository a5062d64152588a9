"""`make pin-images`: the images that compose and the Dockerfiles begin from, by the digest that a registry has now.

A tag is a name that may be given to another image tomorrow; a digest is the image. They are asked of the registry
by Docker's own client, written behind the tags where these stand, and kept in a list: from then on an image without its
digest fails a test. None is ever written that no registry gave.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("docker-compose.yml", "Dockerfile", "deploy/connect/Dockerfile")
LIST = "deploy/images.txt"
_OURS = "fieldwarden-"
_IMAGE = re.compile(
    r"^(?P<before>\s*image: |ARG \w+=|FROM )(?P<name>[a-z0-9][\w./-]*:[\w.-]+)"
    r"(?P<digest>@sha256:[0-9a-f]{64})?(?=\s|$)",
    re.MULTILINE,
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Unreachable(Exception):
    """A digest could not be asked for; nothing was changed."""


def images(root: Path = ROOT) -> dict[str, set[str]]:
    """Image with its tag -> the digests by which the files name it ("" where one names it by tag alone)."""
    found: dict[str, set[str]] = {}
    for file in FILES:
        for match in _IMAGE.finditer((root / file).read_text("utf-8")):
            if not match["name"].startswith(_OURS):
                found.setdefault(match["name"], set()).add((match["digest"] or "").removeprefix("@"))
    return found


def pinned(root: Path = ROOT) -> Mapping[str, str] | None:
    """Image -> its digest, as listed; None as long as nobody has pinned them."""
    if not (root / LIST).exists():
        return None
    return dict(line.split(" ", 1) for line in (root / LIST).read_text("utf-8").splitlines())


def loose(root: Path = ROOT) -> list[str]:
    """What is amiss, as sentences: images that the files name otherwise than the list."""
    listed = pinned(root)
    if listed is None:
        return []
    wrong = [
        f"{name} is named by {' and '.join(each or 'its tag alone' for each in sorted(digests))}, listed as "
        f"{listed.get(name, 'nothing')}: make pin-images"
        for name, digests in images(root).items()
        if digests != {listed.get(name)}
    ]
    return wrong + [f"{name} is listed and not used: make pin-images" for name in listed if name not in images(root)]


def pin(ask: Callable[[str], str], root: Path = ROOT) -> dict[str, str]:
    """Ask for each image's digest and write them all, or none. Raises Unreachable."""
    digests = {name: ask(name) for name in sorted(images(root))}
    for name, digest in digests.items():
        if not _DIGEST.fullmatch(digest):
            raise Unreachable(f"what was told of {name} is no digest")
    for file in FILES:
        path = root / file
        path.write_text(_IMAGE.sub(lambda match: _with(match, digests), path.read_text("utf-8")), "utf-8")
    (root / LIST).write_text("".join(f"{name} {digest}\n" for name, digest in digests.items()), "utf-8")
    return digests


def _with(match: re.Match[str], digests: Mapping[str, str]) -> str:
    digest = digests.get(match["name"])
    return match[0] if digest is None else f"{match['before']}{match['name']}@{digest}"


def ask_registry(image: str) -> str:
    """The digest of an image's index, all platforms included. Raises Unreachable."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Unreachable(f"no registry could be asked for {image}: {type(error).__name__}") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no answer"])[0]
        raise Unreachable(f"no registry could be asked for {image}: {said}")
    return done.stdout.strip()
