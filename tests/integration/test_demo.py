"""`fieldwarden demo` as a user meets it: a real process, real replication, and a project left behind that works."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fieldwarden.engine.hub.server.embedded import EmbeddedServer
from fieldwarden.engine.hub.views.audit import VerifyReport
from fieldwarden.operations.check import Agreement
from fieldwarden.operations.demo.demo import DemoFindings, Tally
from fieldwarden.operations.demo.project import CannotDemo, prepare, steps
from fieldwarden.operations.demo.proof import Cell, prove
from fieldwarden.rules.loading import load_project
from tests.patience import called, ended, eventually

ROOT = Path(__file__).resolve().parents[2]


class Answer:
    """What a command printed and how it ended."""

    def __init__(self, process: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = process.returncode, process.stdout, process.stderr

    @property
    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.out.strip().splitlines()[-1]))

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out[-4000:]}\n--- stderr\n{self.err[-4000:]}"


def fieldwarden(*arguments: str, cwd: Path) -> Answer:
    command = [sys.executable, "-m", "cli", *arguments]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "HOME": str(cwd)}
    return Answer(called(command, cwd=cwd, env=environment))


@pytest.fixture(scope="module")
def shown() -> Iterator[tuple[Path, Answer]]:
    """One whole demo; the tests below look at what it printed and at what it left behind.

    Not below pytest's own temporary folder: another pytest shuts that for the server's user while ours still runs."""
    folder = Path(tempfile.mkdtemp(prefix="fieldwarden-shown-"))
    try:
        yield folder / "fieldwarden-demo", fieldwarden("demo", "--json", cwd=folder)
    finally:
        EmbeddedServer(folder / "fieldwarden-demo" / ".fieldwarden" / "postgres").stop("immediate")
        shutil.rmtree(folder)


def test_the_last_line_is_the_computed_outcome(shown: tuple[Path, Answer]) -> None:
    _, answer = shown
    assert answer.code == 0, answer
    assert answer.json["ok"] is True
    result = answer.json["result"]
    assert result["converged"] is True
    assert result["ledger_verified"] is True
    assert result["changes"] > 1000
    assert result["decisions"]["accepted"] > 1000
    assert result["refused"] == result["decisions"]["refused"] > 0
    assert result["seconds"] > 0
    assert result["agreed"]["customer"] >= 69  # 64 from before and the new ones, each in all three systems
    assert result["agreed"]["invoice"] >= 200


def test_refusals_name_field_offender_and_rule(shown: tuple[Path, Answer]) -> None:
    _, answer = shown
    refusals = answer.json["result"]["refusals"]
    named = {(refusal["outcome"], refusal["field"], refusal["offender"]) for refusal in refusals}
    assert ("refused", "customer.payment_terms", "crm") in named
    assert ("refused", "customer.payment_terms", "billing") in named
    assert ("held", "customer.credit_limit", "crm") in named
    assert ("held", "customer.credit_limit", "billing") in named
    assert ("refused", "invoice.total", "erp") in named
    assert ("refused", "item.name", "crm") in named
    assert all("owner" in refusal["rule"] for refusal in refusals)


def test_the_story_is_told_under_any_systems_key(shown: tuple[Path, Answer]) -> None:
    folder, _ = shown
    by_account = fieldwarden("trail", "customer", "C-1042", "--json", cwd=folder)
    assert by_account.code == 0, by_account
    by_party = fieldwarden("trail", "customer", "10042", "--json", cwd=folder)
    assert by_party.json["result"]["found_by"] == "key in erp public.party"
    assert by_party.json["result"]["record"] == by_account.json["result"]["record"]
    told = fieldwarden("explain", "customer.credit_limit", "C-1042", cwd=folder)
    assert told.code == 0, told
    assert "9000.00" in told.out
    assert "erp" in told.out


def test_the_ledger_verifies_until_a_byte_is_flipped(shown: tuple[Path, Answer]) -> None:
    folder, _ = shown
    verified = fieldwarden("audit", "verify", "--json", cwd=folder)
    assert verified.code == 0, verified
    flip = "update fieldwarden.ledger_entry set body = replace(body, '{0}', '{1}') where ctid = (select ctid from "
    flip += "fieldwarden.ledger_entry where body like '%{0}%' limit 1)"
    with EmbeddedServer(folder / ".fieldwarden" / "postgres").use() as server:
        with psycopg.connect(server.dsn("fieldwarden"), autocommit=True) as hub:
            hub.execute(flip.format("9000.00", "9900.00"))
        tampered = fieldwarden("audit", "verify", "--json", cwd=folder)
        with psycopg.connect(server.dsn("fieldwarden"), autocommit=True) as hub:
            hub.execute(flip.format("9900.00", "9000.00"))
    assert tampered.code == 1, tampered
    assert tampered.json["ok"] is False


def test_the_systems_hold_what_the_golden_records_say(shown: tuple[Path, Answer]) -> None:
    folder, told = shown
    assert told.json["result"]["checked"]["values"] > 5000
    checked = fieldwarden("check", "--list", "--json", cwd=folder)
    assert checked.code == 0, checked
    assert checked.json["result"]["why"] == told.json["result"]["checked"]["why"]


def test_the_audit_exports(shown: tuple[Path, Answer]) -> None:
    folder, _ = shown
    exported = fieldwarden("audit", "export", "--format", "csv", "--outcome", "refused", cwd=folder)
    assert exported.code == 0, exported
    assert len(exported.out.splitlines()) > 5


def test_a_second_demo_edits_nothing_and_proves_again(shown: tuple[Path, Answer]) -> None:
    folder, first = shown
    again = fieldwarden("demo", "--folder", str(folder), "--json", cwd=folder)
    assert again.code == 0, again
    assert again.json["result"]["agreed"] == first.json["result"]["agreed"]


def test_kept_running_it_replicates_what_a_person_edits(shown: tuple[Path, Answer]) -> None:
    folder, _ = shown
    command = [sys.executable, "-m", "cli", "demo", "--folder", str(folder), "--keep-running"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            told = ""
            assert process.stderr is not None
            while "replicating until Ctrl-C" not in told:
                line = process.stderr.readline()
                assert line, f"it ended early: {told}"
                told += line
            edit_and_watch(EmbeddedServer(folder / ".fieldwarden" / "postgres"))
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = ended(process)
    assert process.returncode == 130, errors


def edit_and_watch(server: EmbeddedServer) -> None:
    """Sales may change a website, but not payment terms: one goes to the ERP, the other comes back."""
    with (
        psycopg.connect(server.dsn("crm"), autocommit=True) as crm,
        psycopg.connect(server.dsn("erp"), autocommit=True) as erp,
    ):
        crm.execute(
            "update account set website = 'https://fjord.example', payment_terms = 'Net 60' where id = 'C-1014'"
        )
        website = "select website from party where customer_no = 'C-1014'"
        eventually(lambda: erp.execute(website).fetchone() == ("https://fjord.example",), "the website")
        terms = "select payment_terms from account where id = 'C-1014'"
        eventually(lambda: crm.execute(terms).fetchone() == ("Net 14",), "the terms")


def test_the_proof_sees_a_difference_made_by_hand(shown: tuple[Path, Answer]) -> None:
    """While nothing replicates, a row is changed: the engine's memory still says that all agree, the proof does not."""
    folder, _ = shown
    with EmbeddedServer(folder / ".fieldwarden" / "postgres").use() as server:
        dsns = {system: server.dsn(system) for system in ("crm", "billing", "erp")}
        with psycopg.connect(dsns["crm"], autocommit=True) as crm:
            row = crm.execute("select phone from account where id = 'C-1042'").fetchone()
            crm.execute("update account set phone = '000' where id = 'C-1042'")
            proof = prove(folder / "proof", dsns)
            crm.execute("update account set phone = %s where id = 'C-1042'", row)
        mended = prove(folder / "proof", dsns)
    assert [difference.cell for difference in proof.differences] == [Cell("customer", "GB529437546", "phone")]
    assert proof.differences[0].holds["crm"] == "'000'"
    assert mended.converged

    tally = Tally(changes=1, echoes=0, decisions={"accepted": 1}, refusals=[])
    report = DemoFindings(
        folder, ["crm", "billing", "erp"], tally, proof, Agreement(), VerifyReport(), [], 1.0
    ).report()
    assert report.exit_code == 1
    assert report.failure is not None
    assert "GB529437546, phone: crm '000'" in report.failure.message
    assert report.result["converged"] is False


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(CannotDemo, match="is not a demo's"):
            prepare(tmp_path, fresh=fresh)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_fresh_begins_anew_in_a_demos_folder_only(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    marker = prepare(folder, fresh=False)
    marker.done.append("1-new-customers.crm.sql")
    marker.write()
    (folder / "systems" / "crm.yaml").write_text("mine now")
    assert prepare(folder, fresh=False).done == ["1-new-customers.crm.sql"]
    assert prepare(folder, fresh=True).done == []
    assert "mine now" not in (folder / "systems" / "crm.yaml").read_text()


def test_the_example_is_whole() -> None:
    """It loads without a warning, and every edit and every shared field belongs to a system that it has."""
    project = load_project(ROOT / "examples" / "quote-to-cash")
    assert project.warnings == ()
    systems = set(project.rulebook.systems)
    assert len(steps(project.folder)) == 5
    assert {path.name.split(".")[1] for step in steps(project.folder) for path in step} == systems
    assert {path.stem for path in (project.folder / "proof").glob("*.sql")} == systems
