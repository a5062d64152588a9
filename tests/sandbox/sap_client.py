"""How a test speaks to anybody's SAP: a session with its CSRF token."""

from __future__ import annotations

from typing import Any

import httpx

PARTNERS = "/sap/opu/odata/sap/API_BUSINESS_PARTNER_SRV/A_BusinessPartner"
ORDERS = "/sap/opu/odata/sap/API_SALES_ORDER_SRV/A_SalesOrder"
PARTNERS4 = "/sap/opu/odata4/sap/api_businesspartner/srvd_a2x/sap/api_businesspartner/0001/BusinessPartner"
ORDERS4 = "/sap/opu/odata4/sap/api_salesorder/srvd_a2x/sap/api_salesorder/0001/SalesOrder"
TRACKED = {"prefer": "odata.track-changes"}


class Session:
    """Basic authentication where there is a user; the token is fetched at once."""

    def __init__(self, url: str, auth: tuple[str, str] | None = None) -> None:
        headers = {"accept": "application/json"}
        self.http = httpx.Client(base_url=url, auth=auth, headers=headers, trust_env=False, timeout=60)
        fetched = self.http.get(PARTNERS, params={"$top": "1"}, headers={"x-csrf-token": "Fetch"})
        assert fetched.status_code == 200, fetched.text
        self.token = fetched.headers["x-csrf-token"]

    def change(self, method: str, path: str, body: Any = None, match: str = "") -> httpx.Response:
        headers = {"x-csrf-token": self.token} | ({"if-match": match} if match else {})
        return self.http.request(method, path, json=body, headers=headers)

    def get(self, path: str, headers: dict[str, str] | None = None, **query: str) -> Any:
        answer = self.http.get(
            path, params={f"${name}": value for name, value in query.items()} or None, headers=headers
        )
        assert answer.status_code == 200, answer.text
        return answer.json()
