"""The project that is in the image, and the passwords of the composition."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fieldwarden.operations import examples
from fieldwarden.rules.loading import Project, load_project
from tests.files.deployed import DEPLOY


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project in the image, as the Dockerfile lays it out."""
    folder = tmp_path_factory.mktemp("image") / "project"
    examples.lay_out("quote-to-cash-compose", folder)
    return load_project(folder)


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make secrets` makes."""
    folder = tmp_path_factory.mktemp("secrets") / "secrets"
    done = subprocess.run([sys.executable, DEPLOY / "make_secrets.py", folder], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder
