"""What the contract suite must know of each CRM: how its limits look, which calls write, how to sign in wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from crm_sync.specs.model import ConnectionSpec


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one CRM; paths are regular expressions over path?query.

    burst / daily   an answer of the CRM when it is called too fast / when the day's quota is used up
    refused         (field of the contact entity, a value that the CRM must refuse)
    missing_account an id of an account that has never been there
    deletions       an incremental read shows deletions
    merges          a merged record tells into which one it went (Dynamics keeps it, deactivated)
    knobs           make pages small, where the CRM can
    """

    crm: str
    objects: Mapping[str, str]
    reads: str
    creates: str
    updates: str
    token_calls: str
    burst: Mapping[str, Any]
    daily: Mapping[str, Any]
    refused: tuple[str, str]
    missing_account: str
    wrong_secret: str
    deletions: bool = True
    merges: bool = True
    knobs: Mapping[str, Any] = field(default_factory=dict)


FACTS = {
    "salesforce": Facts(
        crm="salesforce",
        objects={"account": "Account", "contact": "Contact"},
        reads="/query",
        creates="^/services/data/v[0-9.]+/composite/sobjects",
        updates="^/services/data/v[0-9.]+/composite/?$",
        token_calls="/services/oauth2/token",
        burst={
            "status": 403,
            "body": [
                {
                    "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
                    "errorCode": "REQUEST_LIMIT_EXCEEDED",
                }
            ],
        },
        daily={
            "status": 403,
            "body": [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}],
        },
        refused=("last_name", "x" * 81),
        missing_account="001000000000001AAA",
        wrong_secret="SALESFORCE_CLIENT_SECRET",
    ),
    "hubspot": Facts(
        crm="hubspot",
        objects={"account": "companies", "contact": "contacts"},
        reads="^/crm/v3/objects/",
        creates="/batch/create",
        updates="/batch/update",
        token_calls="/oauth/v1/token",
        burst={
            "status": 429,
            "body": {
                "status": "error",
                "message": "You have reached your ten_secondly_rolling limit.",
                "errorType": "RATE_LIMIT",
                "policyName": "TEN_SECONDLY_ROLLING",
            },
        },
        daily={
            "status": 429,
            "body": {
                "status": "error",
                "message": "You have reached your daily limit.",
                "errorType": "RATE_LIMIT",
                "policyName": "DAILY",
            },
        },
        refused=("email", "nobody-at-all"),
        missing_account="100999999999",
        wrong_secret="HUBSPOT_TOKEN",
        deletions=False,
    ),
    "dynamics": Facts(
        crm="dynamics",
        objects={"account": "account", "contact": "contact"},
        reads="^/api/data/v9.2/(accounts|contacts)",
        creates=r"/\$batch",
        updates=r"/\$batch",
        token_calls="/oauth2/v2.0/token",
        burst={
            "status": 429,
            "headers": {"Retry-After": "2"},
            "body": {"error": {"code": "0x80072322", "message": "Number of requests exceeded the limit of 6000."}},
        },
        daily={
            "status": 429,
            "headers": {"Retry-After": "300"},
            "body": {"error": {"code": "0x80072321", "message": "Combined execution time exceeded the limit."}},
        },
        refused=("last_name", "x" * 51),
        missing_account="00000000-0000-4000-8000-000000000001",
        wrong_secret="DYNAMICS_CLIENT_SECRET",
        merges=False,
        knobs={"page_rows": 400},
    ),
}


def with_oauth(connection: ConnectionSpec) -> ConnectionSpec:
    """Return the connection with tokens that expire (HubSpot: an OAuth app instead of a private app)."""
    if connection.crm != "hubspot":
        return connection
    names = {"client_id": "HUBSPOT_CLIENT_ID", "client_secret": "HUBSPOT_CLIENT_SECRET"}
    return replace(
        connection, auth="refresh_token", secrets_env={**names, "refresh_token": "HUBSPOT_REFRESH_TOKEN"}
    )
