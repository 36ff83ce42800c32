"""A pretend Dataverse without HTTP: calls go straight to it; time stands where the test puts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from requests.structures import CaseInsensitiveDict

from crm_sync.emulators import matrix
from crm_sync.emulators.dynamics.app import Front
from crm_sync.emulators.dynamics.protocol import Answer, Call
from crm_sync.emulators.faults import Fault, Faults
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import State
from crm_sync.emulators.striking import current_request

URL = "https://localhost:1"
ROOT = f"{URL}/api/data/v9.2/"
START_US = 1_767_323_045_000_000
TENANT = "11111111-0000-4000-8000-000000000001"


class Clock:
    """Time that moves only when a test moves it."""

    def __init__(self) -> None:
        self.us = START_US

    def __call__(self) -> int:
        return self.us

    def pass_seconds(self, seconds: float) -> None:
        self.us += round(seconds * 1_000_000)


class Reply:
    """An answer as a client reads it."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.content = answer.body
        self.headers: CaseInsensitiveDict[str] = CaseInsensitiveDict(answer.complete())

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> tuple[int, str]:
        return self.status, self.json()["error"]["code"]


class Local:
    """One environment and a client that is signed in."""

    def __init__(self, place: Path, **declared: Any) -> None:
        self.clock = Clock()
        self.settings = EmulatorSettings(
            crm="dynamics",
            url=URL,
            client_id="22222222-0000-4000-8000-000000000002",
            client_secret="secret",
            refresh_token="refresh",
            token="password",
            tenant=TENANT,
            state_dir=place,
            token_seconds=3600.0,
            declared=declared,
        )
        self.state = State(place / "dynamics.sqlite", self.clock, resolution_us=1_000_000)
        self.faults = Faults({}, self.state.now_us)
        self.faults.restrict(matrix.faults("dynamics") or {})
        self.state.postpone(self.faults.lateness)
        self.front = Front(self.state, self.faults, self.settings)
        self.token = ""
        self.sign_in()

    def sign_in(self, **other: str) -> dict[str, Any]:
        """Ask the v2 endpoint for a token and use it from now on; `other` replaces what is presented."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.settings.client_id,
            "client_secret": self.settings.client_secret,
            "scope": f"{URL}/.default",
            **other,
        }
        found: dict[str, Any] = Reply(self.front.token(TENANT, form, v1=False)).json()
        self.token = found.get("access_token", self.token)
        return found

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Make a call; underscores in header names become hyphens."""
        path = path.removeprefix(ROOT)
        path, _, query = path.partition("?")
        given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        given.setdefault("authorization", f"Bearer {self.token}")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        query = query.replace(" ", "%20")
        target = f"/api/data/v9.2/{path}" + (f"?{query}" if query else "")
        token = current_request.set((method, target))
        try:
            return Reply(self.front.answer(Call(method, path, query, given, raw, ROOT)))
        finally:
            current_request.reset(token)

    def get(self, path: str, **headers: str) -> Any:
        """GET what must be there."""
        reply = self.call("GET", path, **headers)
        assert reply.status == 200, reply.text
        return reply.json()

    def rows(self, path: str, **headers: str) -> list[dict[str, Any]]:
        """GET the rows of a set."""
        found: list[dict[str, Any]] = self.get(path, **headers)["value"]
        return found

    def create(self, set_name: str, **values: Any) -> str:
        """Create a row and return its id."""
        reply = self.call("POST", set_name, values)
        assert reply.status == 204, reply.text
        return reply.headers["OData-EntityId"].rsplit("(", 1)[1].rstrip(")")

    def done(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """Make a call that must succeed."""
        reply = self.call(method, path, body, **headers)
        assert reply.status < 300, reply.text
        return reply

    def arm(self, action: str, **given: Any) -> None:
        """Arm a fault."""
        self.faults.add([Fault.read({"action": action, **given})])

    def struck(self, action: str) -> int:
        """Return how often a fault struck."""
        return len(self.faults.log(action))

    def key(self, table: str, *columns: str) -> None:
        """Create an alternate key and let its index be built."""
        name = f"new_{'_'.join(columns)}_key"[:60]
        body = {"SchemaName": name, "KeyAttributes": list(columns), "DisplayName": None}
        self.done("POST", f"EntityDefinitions(LogicalName='{table}')/Keys", body)
        for _ in range(2):
            self.get("WhoAmI")

    def track(self, table: str) -> None:
        """Switch change tracking on."""
        definition = f"EntityDefinitions(LogicalName='{table}')"
        self.done("PUT", definition, {**self.get(definition), "ChangeTrackingEnabled": True})

    def close(self) -> None:
        self.state.close()
