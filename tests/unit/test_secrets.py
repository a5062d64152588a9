"""References become values only when they can, and say what is missing without showing anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from operations.secrets import SecretMissing, embedded_names, resolve


def embedded(name: str) -> str:
    return f"postgresql:///{name}"


def test_every_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PW", "s3cret")
    (tmp_path / "pw").write_text("from file\n")
    assert resolve("p://u:${env:PW}@h", tmp_path, embedded, "") == "p://u:s3cret@h"
    assert resolve("${file:pw}", tmp_path, embedded, "") == "from file"
    assert resolve("${embedded:crm}", tmp_path, embedded, "") == "postgresql:///crm"
    assert resolve("plain $HOME", tmp_path, embedded, "") == "plain $HOME"


def test_a_value_is_not_resolved_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PW", "${env:OTHER}")
    assert resolve("${env:PW}", tmp_path, embedded, "") == "${env:OTHER}"


def test_missing_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOPE", raising=False)
    with pytest.raises(SecretMissing, match="variable NOPE is not set") as caught:
        resolve("${env:NOPE}", tmp_path, embedded, "systems/crm.yaml:2:5")
    assert (caught.value.path, caught.value.exit_code) == ("systems/crm.yaml:2:5", 2)
    with pytest.raises(SecretMissing, match="cannot be read"):
        resolve("${file:nope}", tmp_path, embedded, "")


def test_embedded_names() -> None:
    assert embedded_names("${embedded:crm} ${env:X}") == ["crm"]
