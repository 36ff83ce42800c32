"""A clock that tests move, and short words for calls to the pretend org."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.salesforce.failures import Answer, Call
from crm_sync.emulators.salesforce.rest import Rest

START_US = 1_714_557_600_000_000  # 2024-05-01T10:00:00Z


class DeskClock:
    """Time that moves only when told."""

    def __init__(self) -> None:
        self.now_us = START_US

    def __call__(self) -> int:
        return self.now_us

    def forward(self, seconds: float) -> None:
        """Move on."""
        self.now_us += int(seconds * 1_000_000)


class Front:
    """The resources of the org, asked directly."""

    def __init__(self, rest: Rest, clock: DeskClock) -> None:
        self.rest, self.clock = rest, clock

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        version: float = 59.0,
    ) -> Answer:
        """Make a call; the path is relative to /services/data/vNN.0/."""
        return self.rest.handle(Call(method, path, version, query or {}, headers or {}, body))

    def create(self, sobject: str, **values: Any) -> str:
        """Create a record and return its id."""
        answer = self.ask("POST", f"sobjects/{sobject}", values)
        assert answer.status == 201, answer.body
        record_id: str = answer.body["id"]
        return record_id

    def soql(self, text: str, *, everything: bool = False) -> list[dict[str, Any]]:
        """Return the records of a query, attributes left out."""
        answer = self.ask("GET", "queryAll" if everything else "query", query={"q": text})
        assert answer.status == 200, answer.body
        return [{key: value for key, value in row.items() if key != "attributes"} for row in answer.body["records"]]

    def names(self, condition: str, sobject: str = "Contact") -> list[str]:
        """Return the LastName (Account: Name) of what a condition matches, in order."""
        name = "Name" if sobject == "Account" else "LastName"
        return [row[name] for row in self.soql(f"SELECT {name} FROM {sobject} WHERE {condition} ORDER BY {name}")]

    def error(self, answer: Answer) -> tuple[int, str]:
        """Return status and error code of a refused call."""
        return answer.status, answer.body[0]["errorCode"]

    def key_field(self, sobject: str = "Contact") -> None:
        """Create the unique external id Key__c."""
        meta = {"type": "Text", "label": "Key", "length": 36, "unique": True, "externalId": True}
        body = {"FullName": f"{sobject}.Key__c", "Metadata": meta}
        assert self.ask("POST", "tooling/sobjects/CustomField", body).status == 201
