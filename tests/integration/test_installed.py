"""What somebody gets who installs the wheel: one import package, which bears packages of other people beside it."""

from __future__ import annotations

import json
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.patience import called

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
OTHERS = "rules==3.5 --hash=sha256:0f00fc9ee448b3f82e9aff9334ab0c56c76dce4dfa14f1598f57969f1022acc0"
"""Somebody else's package on PyPI, whose name is that of one of our folders."""


def run(*command: str | Path, folder: Path = ROOT) -> str:
    # -E: what PYTHONPATH names on this machine is not installed.
    done = called(command, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and PyPI's `rules`. What the wheel depends on is borrowed from this one."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    (folder / "others.txt").write_text(OTHERS)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python, "install")
    run(*pip, "--no-deps", "--require-hashes", "-r", folder / "others.txt")
    run(*pip, "--no-deps", "--no-index", wheel)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # A path in a .pth file is searched; the .pth files in it, and so our own tree, are not.
    (Path(site) / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return python


def test_the_wheel_holds_one_import_package_and_all_of_it(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in held if ".dist-info/" not in name} == {"fieldwarden"}
    committed = run(
        "git", "ls-files", "--", "engine", "rules", "connectors", "commands", "operations", "examples", "cli.py"
    )
    assert {f"fieldwarden/{name}" for name in committed.split()} <= held
    assert not [name for name in held if "__pycache__" in name or "/.fieldwarden/" in name]


def test_what_is_installed_lives_beside_another_package_called_rules(python: Path, tmp_path: Path) -> None:
    names = "import rules, fieldwarden.rules, fieldwarden.engine; print(rules.__file__, fieldwarden.rules.__file__)"
    theirs, mine = run(python, "-E", "-c", names, folder=tmp_path).split()
    assert Path(mine).parent.parent == Path(theirs).parent.parent / "fieldwarden"
    assert not (Path(theirs).parent / "rulebook.py").exists(), "it is theirs"
    out = run(python, "-E", "-m", "fieldwarden", "demo", "--folder", tmp_path / "demo", "--json", folder=tmp_path)
    answer = json.loads(out.splitlines()[-1])
    assert answer["ok"], answer
