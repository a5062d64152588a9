"""The sandboxes, one per test file, as it is after a reset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.inbox import Inbox, listening
from tests.sandbox.playing import Played, playing


@pytest.fixture(scope="module")
def _stripe() -> Iterator[Played]:
    with playing("stripe") as played:
        yield played


@pytest.fixture
def stripe_sandbox(_stripe: Played) -> Played:
    return _stripe.anew({"authorization": "Bearer sk_test_one"})


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with listening() as taking:
        yield taking


@pytest.fixture(scope="module")
def _hubspot() -> Iterator[Played]:
    with playing("hubspot") as played:
        yield played


@pytest.fixture
def hubspot_sandbox(_hubspot: Played) -> Played:
    return _hubspot.anew({"authorization": "Bearer pat-one"})


@pytest.fixture(scope="module")
def _quickbooks() -> Iterator[Played]:
    with playing("quickbooks") as played:
        yield played


@pytest.fixture
def quickbooks_sandbox(_quickbooks: Played) -> Played:
    return _quickbooks.anew()


@pytest.fixture(scope="module")
def _netsuite() -> Iterator[Played]:
    with playing("netsuite") as played:
        yield played


@pytest.fixture
def netsuite_sandbox(_netsuite: Played) -> Played:
    return _netsuite.anew()


@pytest.fixture(scope="module")
def _sap() -> Iterator[Played]:
    with playing("sap") as played:
        yield played


@pytest.fixture
def sap_sandbox(_sap: Played) -> Played:
    return _sap.anew()


@pytest.fixture(scope="module")
def _salesforce() -> Iterator[Played]:
    with playing("salesforce") as played:
        yield played


@pytest.fixture
def salesforce_sandbox(_salesforce: Played) -> Played:
    return _salesforce.anew()
