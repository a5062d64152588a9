"""`$metadata`: the properties of a service's sets, with those that nobody writes marked."""

from __future__ import annotations

from fieldwarden.sandbox.sap.sets import SETS, Set

_V2 = {
    "text": "Edm.String",
    "date": "Edm.DateTime",
    "time": "Edm.DateTimeOffset",
    "number": "Edm.Decimal",
    "flag": "Edm.Boolean",
}
_V4 = {**_V2, "date": "Edm.DateTimeOffset"}


def document(service: str, four: bool) -> str:
    """Of the service at that path."""
    sets = [each for each in SETS.values() if (each.v4 if four else each.v2) == service]
    name = service.split("/")[-2 if four else -1]
    types = "".join(_type(each, four) for each in sets)
    prefix = "" if four else "A_"
    held = "".join(
        f'<EntitySet Name="{prefix}{each.name}" EntityType="{name}.{prefix}{each.name}Type"/>' for each in sets
    )
    schema = "http://docs.oasis-open.org/odata/ns/edm" if four else "http://schemas.microsoft.com/ado/2008/09/edm"
    edmx = "http://docs.oasis-open.org/odata/ns/edmx" if four else "http://schemas.microsoft.com/ado/2007/06/edmx"
    sap = "" if four else ' xmlns:sap="http://www.sap.com/Protocols/SAPData"'
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<edmx:Edmx Version="{"4.0" if four else "1.0"}" xmlns:edmx="{edmx}"{sap}>'
        f'<edmx:DataServices><Schema Namespace="{name}" xmlns="{schema}">{types}'
        f'<EntityContainer Name="{name}_Entities">{held}</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>'
    )


def _type(of: Set, four: bool) -> str:
    keys = "".join(f'<PropertyRef Name="{each}"/>' for each in of.key)
    lines = []
    for name, kind in of.properties.items():
        fixed = (
            ' sap:creatable="false" sap:updatable="false"' if not four and (name in of.fixed or not of.verbs) else ""
        )
        lines.append(f'<Property Name="{name}" Type="{(_V4 if four else _V2)[kind]}"{fixed}/>')
    return f'<EntityType Name="{"" if four else "A_"}{of.name}Type"><Key>{keys}</Key>{"".join(lines)}</EntityType>'
