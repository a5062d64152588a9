"""Records change events of the sandbox's org, and what they come to: `python -m tests.golden.record_salesforce`.

Nobody could record a real org. The payloads are written by the sandbox, which knows nothing of our decoder, and which a
client of somebody else's reads (tests/sandbox/test_pubsub.py); what they come to was read by eye when it was recorded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fieldwarden.connectors.salesforce.decoding.events import Event, EventDecoder
from fieldwarden.connectors.salesforce.decoding.fields import Described
from fieldwarden.connectors.salesforce.decoding.places import Place
from fieldwarden.engine.change import UNKNOWN, RawChange
from fieldwarden.engine.wanted import Wanted
from fieldwarden.sandbox.pubsub.bus import Bus
from fieldwarden.sandbox.pubsub.objects import Field, Object
from fieldwarden.sandbox.pubsub.org import ACCOUNT, Org

FILE = Path(__file__).with_name("salesforce_events.json")
AT = 1_772_000_000_000
FIELDS = {
    "Name": Described("string"),
    "Phone": Described("phone"),
    "AnnualRevenue": Described("currency", 2),
    "NumberOfEmployees": Described("int"),
    "BillingCity": Described("string"),
    "ShippingCity": Described("string"),
    "Active__c": Described("boolean"),
    "Since__c": Described("date"),
    "Description": Described("textarea"),
}


def history() -> Bus:
    """What happens to some accounts."""
    bus = Bus([ACCOUNT], seed=7)
    org = Org(bus, lambda: AT)
    ann = org.create("Account", {"Name": "Ann", "AnnualRevenue": 1234.5, "BillingCity": "Köln", "Active__c": True})
    bob = org.create("Account", {"Name": "Bob", "Since__c": 1_709_164_800_000, "NumberOfEmployees": 3})
    both = org.begin("com/salesforce/api/rest/65.0;client=fieldwarden-7")
    org.update([ann, bob], {"Phone": "+49 221 1"}, both)
    org.update([ann], {"BillingCity": None, "ShippingCity": "Bonn", "AnnualRevenue": 1234567890123456.75})
    bus.tell(
        org.begin(), "Account", "UPDATE", [ann], {"Description": "@@ -1 +1 @@"}, ["Description"], (), ["Description"]
    )
    org.delete(bob)
    org.undelete(bob)
    bus.redefine(Object("Account", "001", (Field("New__c"), *ACCOUNT.fields)))
    org.update([ann], {"New__c": "x", "Name": None})
    org.change_unseen([ann, bob], {"Phone": "2"})
    org.update_everything("Account", {"Phone": "3"})
    org.overflow("Account")
    return bus


def told(schemas: dict[str, str], events: list[dict[str, str]]) -> list[dict[str, Any]]:
    """What the decoder makes of events."""
    wanted = {"Account": Wanted("account", ("Id",), frozenset({"Id", *FIELDS}))}
    decoder = EventDecoder(ACCOUNT.topic, wanted, {"Account": FIELDS}, client="fieldwarden-7", schema_of=schemas.get)
    found, place = [], Place(1, 0, b"")
    for each in events:
        place = place.after(bytes.fromhex(each["replay"]))
        outcome = decoder.decode(Event(each["schema"], bytes.fromhex(each["payload"]), place.replay), place)
        shown = [_shown(change) for change in [*outcome.changes, *outcome.hints]]
        found.append({"changes": shown, "rescan": outcome.rescan, "lost": outcome.lost})
    return found


def _shown(change: RawChange) -> dict[str, Any]:
    values = zip(change.relation.columns, change.values, strict=True)
    known = {name: value for name, value in values if value is not UNKNOWN}
    return {"does": change.operation, "at": change.position, "echo": change.echo, "values": known}


def main() -> None:
    bus = history()
    events = [
        {"schema": each.schema_id, "payload": each.payload.hex(), "replay": each.replay_id.hex()} for each in bus.events
    ]
    document = {"schemas": bus.schemas, "events": events, "told": told(bus.schemas, events)}
    FILE.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
