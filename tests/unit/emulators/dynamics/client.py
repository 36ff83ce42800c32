"""A plain client of Dataverse for tests: msal for the token, requests for the rest; nothing of the product."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msal
import requests

KEY = "crmsync_hubid"


def label(text: str) -> dict[str, Any]:
    """Return a label as a client writes it."""
    return {"LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}


class Client:
    """One signed-in session."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.url = variables["DYNAMICS_URL"]
        self.root = f"{self.url}/api/data/v9.2/"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = variables["CRM_SYNC_CA_BUNDLE"]
        self.session.headers.update({"OData-Version": "4.0", "OData-MaxVersion": "4.0"})
        self.sign_in()

    def application(self, **other: str) -> Any:
        """Return an msal application; `other` replaces what it presents."""
        presented = {
            "client_id": self.variables["DYNAMICS_CLIENT_ID"],
            "client_credential": self.variables["DYNAMICS_CLIENT_SECRET"],
            "authority": self.variables["DYNAMICS_AUTHORITY"],
            **other,
        }
        return msal.ConfidentialClientApplication(**presented, http_client=self.session, instance_discovery=False)

    def sign_in(self) -> None:
        """Fetch a token and use it from now on."""
        answer = self.application().acquire_token_for_client([f"{self.url}/.default"])
        self.session.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def close(self) -> None:
        """Release sockets."""
        self.session.close()

    def call(self, method: str, path: str, json: Any = None, **headers: str) -> requests.Response:
        """Make a call; underscores in header names become hyphens."""
        url = path if path.startswith("https://") else self.root + path
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.request(method, url, json=json, headers=given, timeout=10)

    def get(self, path: str, **headers: str) -> Any:
        """GET what must be there."""
        answer = self.call("GET", path, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, json: Any = None, **headers: str) -> tuple[int, str]:
        """Make a call that must be refused and return (status, code)."""
        answer = self.call(method, path, json, **headers)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]["code"]

    def create(self, set_name: str, **values: Any) -> str:
        """Create a row and return its id."""
        answer = self.call("POST", set_name, values)
        assert answer.status_code == 204, answer.text
        return answer.headers["OData-EntityId"].rsplit("(", 1)[1].rstrip(")")

    def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """Use the emulator's control API."""
        answer = self.session.request(method, f"{self.url}/__emulator__/{path}", json=body, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def provision(self, table: str) -> None:
        """Create the key column, its key, and switch change tracking on."""
        definition = f"EntityDefinitions(LogicalName='{table}')"
        column = {
            "@odata.type": "Microsoft.Dynamics.CRM.StringAttributeMetadata",
            "SchemaName": KEY,
            "MaxLength": 36,
            "FormatName": {"Value": "Text"},
            "RequiredLevel": {"Value": "None"},
            "DisplayName": label("Key"),
        }
        assert self.call("POST", f"{definition}/Attributes", column).status_code == 204
        key = {"SchemaName": f"{KEY}key", "KeyAttributes": [KEY], "DisplayName": label("Key")}
        assert self.call("POST", f"{definition}/Keys", key).status_code == 204
        for _ in range(5):
            (found,) = self.get(f"{definition}/Keys")["value"]
            if found["EntityKeyIndexStatus"] == "Active":
                break
        present = self.get(definition)
        assert self.call("PUT", definition, {**present, "ChangeTrackingEnabled": True}).status_code == 204
        assert self.call("POST", "PublishXml", {"ParameterXml": "<importexportxml/>"}).status_code == 204
