"""Sign in, be refused, be limited, and find what is not there: the pretend Entra ID and the edges of the Web API."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from json import loads
from queue import Queue
from threading import Thread
from urllib.parse import urlsplit

import pytest

from tests.unit.emulators.dynamics.client import Client


@pytest.mark.fact("dynamics:token_errors", "dynamics:msal")
@pytest.mark.parametrize(
    ("presented", "scope", "error", "code"),
    [
        ({"client_credential": "wrong"}, "", "invalid_client", 7000215),
        ({"client_id": "unknown"}, "", "unauthorized_client", 700016),
        ({}, "https://elsewhere.example/.default", "invalid_resource", 500011),
    ],
)
def test_entra_says_in_its_own_words_what_is_wrong(
    api: Client, presented: dict[str, str], scope: str, error: str, code: int
) -> None:
    answer = api.application(**presented).acquire_token_for_client([scope or f"{api.url}/.default"])
    assert (answer["error"], answer["error_codes"]) == (error, [code])
    assert answer["error_description"].startswith(f"AADSTS{code}: ")


@pytest.mark.fact("dynamics:discovery")
def test_an_unknown_tenant_has_no_configuration(api: Client) -> None:
    answer = api.session.get(f"{api.url}/nobody/v2.0/.well-known/openid-configuration", timeout=10)
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])
    with pytest.raises(ValueError, match="authority configuration"):
        api.application(authority=f"{api.url}/nobody")


@pytest.mark.fact("dynamics:unauthorized")
def test_without_a_living_token_there_is_only_the_challenge(api: Client) -> None:
    for header in ("", "Bearer nonsense", "Basic x"):
        answer = api.call("GET", "WhoAmI", Authorization=header)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer authorization_uri=")
    api.control("tokens/expire")
    assert api.call("GET", "WhoAmI").status_code == 401
    api.sign_in()
    assert set(api.get("WhoAmI")) == {"@odata.context", "BusinessUnitId", "UserId", "OrganizationId"}


@pytest.mark.fact("dynamics:service_document")
def test_the_service_document_lists_the_sets(api: Client) -> None:
    document = api.get("")
    assert {"name": "contacts", "kind": "EntitySet", "url": "contacts"} in document["value"]


def test_what_is_unsupported_says_so_by_name_and_what_is_nowhere_is_not_found(api: Client) -> None:
    for path in ("activitypointers", "contacts?savedQuery=x", "contacts?$apply=identity", "QualifyLead"):
        answer = api.call("GET", path)
        assert answer.status_code == 501
        assert path.split("?")[0] in answer.json()["error"]["message"]
    for name in ("CreateEntities", "Microsoft.Dynamics.CRM.SendEmail", "msdyn_workorders"):
        assert api.refused("POST", name, {}) == (501, "501")
    bound = f"contacts({api.create('contacts', lastname='Li')})/Microsoft.Dynamics.CRM.AddToQueue"
    assert api.refused("POST", bound, {}) == (501, "501")
    assert api.refused("GET", "contactz") == (404, "0x8006088a")
    assert api.session.get(f"{api.url}/elsewhere", timeout=10).status_code == 501


@pytest.mark.fact("dynamics:url_length")
def test_an_address_may_not_be_longer_than_dataverse_takes(api: Client) -> None:
    assert api.refused("GET", "contacts?$filter=" + "x" * 32_760)[0] == 414


@pytest.mark.fact("dynamics:limits", "dynamics:limit_headers")
def test_limits_answer_429_with_the_wait_and_count_a_batch_once(api: Client) -> None:
    api.control("knobs", {"limits": True, "window_requests": 2, "window_seconds": 100})
    try:
        first = api.call("GET", "WhoAmI")
        assert first.headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "1"
        parts = "".join("--b\nContent-Type: application/http\n\nGET WhoAmI HTTP/1.1\n\n\n" for _ in range(5)) + "--b--"
        batch = api.session.post(
            f"{api.root}$batch", data=parts, headers={"Content-Type": "multipart/mixed; boundary=b"}, timeout=10
        )
        assert (batch.status_code, batch.text.count("HTTP/1.1 200")) == (200, 5)
        refused = api.call("GET", "WhoAmI")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "0x80072322")
        assert 0 < int(refused.headers["Retry-After"]) <= 100
    finally:
        api.control("knobs", {"limits": False, "window_requests": 6000, "window_seconds": 300})


def test_calls_are_counted_without_ids(api: Client) -> None:
    id = api.create("contacts", lastname="Counted")
    api.control("calls/reset")
    api.get(f"contacts({id})")
    api.get("contacts?$top=1")
    assert api.control("calls", method="GET")["by"] == {
        "GET /api/data/v9.2/contacts": 1,
        "GET /api/data/v9.2/contacts()": 1,
    }
    assert urlsplit(api.root).scheme == "https"


def test_older_versions_answer_alike_and_name_themselves(api: Client) -> None:
    answer = api.session.get(f"{api.url}/api/data/v9.1/WhoAmI", timeout=10).json()
    assert answer["@odata.context"].startswith(f"{api.url}/api/data/v9.1/$metadata#")
    assert api.session.get(f"{api.url}/api/data/v8.2/WhoAmI", timeout=10).status_code == 501


def test_instance_discovery_and_the_v1_endpoint_are_served(api: Client) -> None:
    endpoint = f"{api.variables['DYNAMICS_AUTHORITY']}/oauth2/v2.0/authorize"
    query = {"api-version": "1.1", "authorization_endpoint": endpoint}
    found = api.session.get(f"{api.url}/common/discovery/instance", params=query, timeout=10).json()
    authority = api.variables["DYNAMICS_AUTHORITY"]
    assert found["tenant_discovery_endpoint"] == f"{authority}/v2.0/.well-known/openid-configuration"
    one = api.session.get(f"{authority}/.well-known/openid-configuration", timeout=10).json()
    form = {"client_id": api.variables["DYNAMICS_CLIENT_ID"], "client_secret": api.variables["DYNAMICS_CLIENT_SECRET"]}
    form |= {"grant_type": "client_credentials", "resource": api.url}
    answer = api.session.post(one["token_endpoint"], data=form, timeout=10).json()
    assert isinstance(answer["expires_in"], str) and answer["access_token"]


def test_webhooks_arrive_over_http(api: Client) -> None:
    got: Queue[tuple[str, bytes]] = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.put((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        facts = {"entity": "lead", "authvalue": "k"}
        url = f"http://127.0.0.1:{server.server_port}/hook"
        hook = api.control("hooks", {"url": url, **facts})
        id = api.create("leads", lastname="Li")
        path, body = got.get(timeout=10)
        assert path == "/hook?code=k" and loads(body)["PrimaryEntityId"] == id
        api.control(f"hooks?id={hook['id']}", method="DELETE")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
