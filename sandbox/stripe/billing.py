"""What happens to invoices: drafts gather lines, are finalized, and then only go from state to state. Nobody writes a
status.

    draft --finalize--> open --pay--> paid
      |                  |--mark_uncollectible--> uncollectible --pay--> paid
      deleted            '--void--> void  <--void--'
"""

from __future__ import annotations

from typing import Any

from fieldwarden.sandbox.frame.exchange import Refused
from fieldwarden.sandbox.frame.records import Json
from fieldwarden.sandbox.stripe import shapes
from fieldwarden.sandbox.stripe.books import Books
from fieldwarden.sandbox.stripe.errors import error, invalid
from fieldwarden.sandbox.stripe.params import merged, required, taken

EMBEDDED = 10
"""How many lines an invoice shows; the rest is asked for by pages."""


class Billing:
    def __init__(self, books: Books) -> None:
        self._books = books
        self._items: dict[str, list[str]] = {}

    def lines(self, invoice: str) -> list[Json]:
        """All lines of an invoice, in their order."""
        items = self._books.tables["invoiceitems"]
        return [shapes.line(row.data) for key in self._items.get(invoice, ()) if (row := items.get(key))]

    def create(self, given: Json, key: str = "") -> Json:
        books = self._books
        fields = taken(given, shapes.INVOICE)
        required(fields, "customer")
        customer = books.get("customers", fields["customer"], "customer")
        pending = fields.pop("pending_invoice_items_behavior", "exclude") == "include"
        subscription = fields.pop("subscription", None)
        if subscription:
            books.get("subscriptions", subscription, "subscription")
        draft = merged({**shapes.invoice(books.now()), "currency": customer["currency"] or "usd"}, fields)
        draft |= {"customer_email": customer["email"], "customer_name": customer["name"]}
        if subscription:
            details = {"subscription": subscription, "metadata": {}}
            draft["parent"] = {"type": "subscription_details", "subscription_details": details}
        draft = {"id": key or books.new_id("invoices"), **draft, "lines": self._embedded("", [])}
        self._items[draft["id"]] = []
        if pending:
            for row in [*books.tables["invoiceitems"]]:
                if row.data["customer"] == customer["id"] and row.data["invoice"] is None:
                    books.put("invoiceitems", {**row.data, "invoice": draft["id"]})
                    self._items[draft["id"]].append(row.key)
        return books.add("invoices", self._counted(draft), draft["id"])

    def edit(self, key: str, given: Json) -> Json:
        before = self._books.get("invoices", key)
        if before["status"] != "draft" and (late := [each for each in given if each in shapes.INVOICE_EDIT]):
            frozen = [each for each in late if each not in shapes.INVOICE_ALWAYS]
            if frozen:
                raise invalid("This invoice is no longer editable", frozen[0], "invoice_not_editable")
        return self._books.put("invoices", merged(before, taken(given, shapes.INVOICE_EDIT)))

    def delete(self, key: str) -> Json:
        if self._books.get("invoices", key)["status"] != "draft":
            raise invalid("You can only delete draft invoices", code="invoice_not_editable")
        for item in self._items.pop(key, []):
            self._books.remove("invoiceitems", item)
        return self._books.remove("invoices", key)

    # --- lines ---

    def add_item(self, given: Json, key: str = "") -> Json:
        books = self._books
        fields = taken(given, shapes.INVOICE_ITEM)
        required(fields, "customer")
        customer = books.get("customers", fields["customer"], "customer")
        invoice = self._draft(fields.get("invoice"))
        price = books.get("prices", fields["pricing"]["price"], "pricing[price]") if fields.get("pricing") else None
        quantity = fields.get("quantity", 1)
        if price is None:
            required(fields, "amount")
        amount = fields["amount"] if price is None else price["unit_amount"] * quantity
        at = books.now()
        item: Json = {
            "object": "invoiceitem",
            "amount": amount,
            "currency": (price or fields).get("currency") or customer["currency"] or "usd",
            "customer": customer["id"],
            "date": at,
            "description": fields.get("description"),
            "discountable": True,
            "invoice": fields.get("invoice"),
            "livemode": False,
            "metadata": fields.get("metadata") or {},
            "period": {"end": at, "start": at},
            "pricing": {
                "price_details": {"price": price["id"], "product": price["product"]} if price else None,
                "type": "price_details",
                "unit_amount_decimal": str(price["unit_amount"] if price else amount // quantity),
            },
            "quantity": quantity,
        }
        made = books.add("invoiceitems", item, key)
        if invoice is not None:
            self._items[invoice["id"]].append(made["id"])
            self._recount(invoice)
        return made

    def edit_item(self, key: str, given: Json) -> Json:
        before = self._books.get("invoiceitems", key)
        invoice = self._draft(before["invoice"])
        fields = taken(given, shapes.INVOICE_ITEM_EDIT)
        if "quantity" in fields and "amount" not in fields:
            fields["amount"] = int(before["pricing"]["unit_amount_decimal"]) * fields["quantity"]
        made = self._books.put("invoiceitems", merged(before, fields))
        if invoice is not None:
            self._recount(invoice)
        return made

    def remove_item(self, key: str) -> Json:
        invoice = self._draft(self._books.get("invoiceitems", key)["invoice"])
        gone = self._books.remove("invoiceitems", key)
        if invoice is not None:
            self._items[invoice["id"]].remove(key)
            self._recount(invoice)
        return gone

    # --- from state to state ---

    def finalize(self, key: str) -> Json:
        books, invoice = self._books, self._books.get("invoices", key)
        if invoice["status"] != "draft":
            raise invalid(
                "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
                code="invoice_not_editable",
            )
        customer = books.get("customers", invoice["customer"], "customer")
        number = f"{customer['id'][-8:].upper()}-{customer['next_invoice_sequence']:04}"
        next_number = {**customer, "next_invoice_sequence": customer["next_invoice_sequence"] + 1}
        books.tables["customers"].put(customer["id"], next_number)
        opened = self._moved({**invoice, "number": number}, "open", "finalized_at", "invoice.finalized")
        return self._paid(opened, 0) if opened["total"] == 0 else opened

    def pay(self, key: str, out_of_band: bool = False) -> Json:
        invoice = self._in_state(key, "Invoice is already paid", "invoice_already_paid", "open", "uncollectible")
        if out_of_band:
            return self._paid(invoice, invoice["amount_remaining"])
        if self._books.world.faults.strikes("card_declined", f"/v1/invoices/{key}"):
            tried = {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
            self._books.put("invoices", {**invoice, **tried}, "invoice.payment_failed")
            raise Refused(error(402, "Your card was declined.", kind="card_error", code="card_declined"))
        self._collected(invoice)
        return self._paid(invoice, invoice["amount_remaining"])

    def void(self, key: str) -> Json:
        invoice = self._in_state(
            key, "You can only pass in open invoices. This invoice isn't open.", "", "open", "uncollectible"
        )
        return self._moved({**invoice, "amount_remaining": 0}, "void", "voided_at", "invoice.voided")

    def mark_uncollectible(self, key: str) -> Json:
        invoice = self._in_state(key, "You can only pass in open invoices. This invoice isn't open.", "", "open")
        return self._moved(invoice, "uncollectible", "marked_uncollectible_at", "invoice.marked_uncollectible")

    def send(self, key: str) -> Json:
        invoice = self._in_state(key, "You can only pass in open invoices. This invoice isn't open.", "", "open")
        self._books.tell("invoice.sent", invoice)
        return invoice

    # --- credit ---

    def credit(self, given: Json, key: str = "") -> Json:
        books = self._books
        fields = taken(given, shapes.CREDIT_NOTE)
        required(fields, "invoice", "amount")
        invoice, amount = books.get("invoices", fields["invoice"], "invoice"), fields["amount"]
        if invoice["status"] not in ("open", "paid") or amount <= 0:
            raise invalid("Credit notes can be created for open or paid invoices only.", "invoice")
        paid = invoice["status"] == "paid"
        given_back = sum(fields.get(each) or 0 for each in ("credit_amount", "out_of_band_amount", "refund_amount"))
        if paid and given_back != amount:
            wrong = "The sum of credit amount, refund amount and out of band amount has to be the credit note amount."
            raise invalid(wrong, "amount")
        credited = invoice["pre_payment_credit_notes_amount"] + invoice["post_payment_credit_notes_amount"]
        if amount > invoice["total"] - credited or (not paid and amount > invoice["amount_remaining"]):
            raise invalid("The credit note is larger than what is left of the invoice.", "amount")
        note: Json = {
            "object": "credit_note",
            "amount": amount,
            "created": books.now(),
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "invoice": invoice["id"],
            "livemode": False,
            "memo": fields.get("memo"),
            "metadata": fields.get("metadata") or {},
            "number": f"{invoice['number']}-CN-{self._credits(invoice['id']) + 1:02}",
            "out_of_band_amount": fields.get("out_of_band_amount"),
            "reason": fields.get("reason"),
            "status": "issued",
            "total": amount,
            "type": "post_payment" if paid else "pre_payment",
            "voided_at": None,
        }
        made = books.add("credit_notes", note, key)
        self._credited(invoice, "post_payment" if paid else "pre_payment", amount)
        return made

    def void_credit(self, key: str) -> Json:
        note = self._books.get("credit_notes", key)
        invoice = self._books.get("invoices", note["invoice"])
        if note["status"] == "void" or invoice["status"] != "open":
            raise invalid("You can only void an issued credit note of an open invoice.")
        self._credited(invoice, "pre_payment", -note["amount"])
        return self._books.put(
            "credit_notes", {**note, "status": "void", "voided_at": self._books.now()}, "credit_note.voided"
        )

    # --- parts ---

    def _credits(self, invoice: str) -> int:
        return sum(row.data["invoice"] == invoice for row in self._books.tables["credit_notes"])

    def _credited(self, invoice: Json, when: str, amount: int) -> None:
        after = {**invoice, f"{when}_credit_notes_amount": invoice[f"{when}_credit_notes_amount"] + amount}
        if when == "pre_payment":
            after["amount_due"] -= amount
            after["amount_remaining"] -= amount
        after = self._books.put("invoices", after)
        if when == "pre_payment" and after["amount_remaining"] == 0:
            self._paid(after, 0)

    def _draft(self, key: str | None) -> Json | None:
        if key is None:
            return None
        invoice = self._books.get("invoices", key, "invoice")
        if invoice["status"] != "draft":
            raise invalid("This invoice is no longer editable", "invoice", "invoice_not_editable")
        return invoice

    def _in_state(self, key: str, wrong: str, code: str, *states: str) -> Json:
        invoice = self._books.get("invoices", key)
        if invoice["status"] not in states:
            raise invalid(wrong if invoice["status"] != "draft" else "The invoice is a draft.", code=code)
        return invoice

    def _moved(self, invoice: Json, status: str, stamp: str, kind: str) -> Json:
        times = {**invoice["status_transitions"], stamp: self._books.now()}
        return self._books.put("invoices", {**invoice, "status": status, "status_transitions": times}, kind)

    def _paid(self, invoice: Json, amount: int) -> Json:
        after = {**invoice, "amount_paid": invoice["amount_paid"] + amount, "amount_remaining": 0}
        if amount:
            after |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1}
        paid = self._moved(after, "paid", "paid_at", "invoice.paid")
        self._books.tell("invoice.payment_succeeded", paid)
        return paid

    def _collected(self, invoice: Json) -> None:
        """The payment, the charge, and what ties them to the invoice."""
        books, at = self._books, self._books.now()
        whole: dict[str, Any] = {"amount": invoice["amount_remaining"], "currency": invoice["currency"]}
        whole |= {"created": at, "customer": invoice["customer"], "livemode": False}
        intent = books.add(
            "payment_intents",
            {"object": "payment_intent", **whole, "amount_received": whole["amount"], "metadata": {}}
            | {"latest_charge": None, "status": "succeeded"},
        )
        charge = books.add(
            "charges",
            {"object": "charge", **whole, "amount_captured": whole["amount"], "amount_refunded": 0, "captured": True}
            | {"metadata": {}, "paid": True, "payment_intent": intent["id"], "refunded": False, "status": "succeeded"},
            told=False,
        )
        books.tables["payment_intents"].put(intent["id"], {**intent, "latest_charge": charge["id"]})
        books.tell("charge.succeeded", charge)
        books.tell("payment_intent.succeeded", {**intent, "latest_charge": charge["id"]})
        payment: Json = {"object": "invoice_payment", "amount_paid": whole["amount"], "created": at}
        payment |= {"amount_requested": whole["amount"], "currency": whole["currency"], "invoice": invoice["id"]}
        payment |= {"is_default": True, "livemode": False, "status": "paid"}
        payment |= {"payment": {"payment_intent": intent["id"], "type": "payment_intent"}}
        made = books.add("invoice_payments", payment, told=False)
        books.tell("invoice_payment.paid", made)

    def _recount(self, invoice: Json) -> None:
        self._books.put("invoices", self._counted(invoice))

    def _counted(self, invoice: Json) -> Json:
        """A draft with the sums of its lines and the first of them."""
        lines = self.lines(invoice["id"])
        total = sum(line["amount"] for line in lines)
        sums = dict.fromkeys(("subtotal", "total", "amount_due", "amount_remaining"), total)
        return {**invoice, **sums, "lines": self._embedded(invoice["id"], lines)}

    def _embedded(self, invoice: str, lines: list[Json]) -> Json:
        return {
            "object": "list",
            "data": lines[:EMBEDDED],
            "has_more": len(lines) > EMBEDDED,
            "total_count": len(lines),
            "url": f"/v1/invoices/{invoice}/lines",
        }
