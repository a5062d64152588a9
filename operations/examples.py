"""The example projects that ship with the program, and how one of them is laid out in a folder.

An example may be another one with something changed: its file `based-on` names that one, and the folder holds only what
differs. A system's file without `streams` keeps the other's: reading a system through Kafka changes how it is reached,
not how its rows map.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
_BASED_ON = "based-on"
_STREAMS = re.compile(r"^streams:", re.MULTILINE)


def names() -> list[str]:
    return sorted(path.name for path in _EXAMPLES.iterdir() if (path / "fieldwarden.yaml").is_file())


def lay_out(name: str, folder: Path) -> None:
    """Copy all files of an example into a folder, which is made if it is not there. Raises OSError."""
    example = _EXAMPLES / name
    base = example / _BASED_ON
    if base.exists():
        lay_out(base.read_text("utf-8").strip(), folder)
    for path in sorted(example.rglob("*")):
        inside = path.relative_to(example)
        if path.is_dir() or path == base or {".fieldwarden", "__pycache__"} & set(inside.parts):
            continue
        place = folder / inside
        place.parent.mkdir(parents=True, exist_ok=True)
        if base.exists() and place.exists() and place.parent.name == "systems":
            place.write_text(_with_streams(path.read_text("utf-8"), place.read_text("utf-8")), "utf-8")
        else:
            shutil.copy(path, place)


def _with_streams(changed: str, original: str) -> str:
    """A system's file, with the streams of the one it replaces if it has none of its own."""
    begin = _STREAMS.search(original)
    if begin is None or _STREAMS.search(changed):
        return changed
    return f"{changed.rstrip()}\n\n{original[begin.start() :]}"
