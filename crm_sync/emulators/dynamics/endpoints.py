"""The endpoints of the app, as the support matrix (matrix.toml) lists them.

The Web API is one route; what lies below it is found by the address, so it is told here by kinds of address.
"""

from __future__ import annotations

from typing import Final

ROOT: Final = "/api/data/v9.2/"
ENDPOINTS: Final = (
    ("GET", "/common/discovery/instance"),
    ("GET", "/{tenant}/v2.0/.well-known/openid-configuration"),
    ("GET", "/{tenant}/.well-known/openid-configuration"),
    ("POST", "/{tenant}/oauth2/v2.0/token"),
    ("POST", "/{tenant}/oauth2/token"),
    ("GET", ROOT),
    ("GET", f"{ROOT}$metadata"),
    ("POST", f"{ROOT}$batch"),
    ("GET", f"{ROOT}WhoAmI"),
    ("GET", f"{ROOT}RetrieveVersion"),
    ("GET", f"{ROOT}RetrieveTotalRecordCount"),
    ("GET", f"{ROOT}RetrieveCurrentOrganization"),
    ("POST", f"{ROOT}PublishXml"),
    ("POST", f"{ROOT}PublishAllXml"),
    ("POST", f"{ROOT}Merge"),
    ("POST", f"{ROOT}CloseIncident"),
    ("POST", f"{ROOT}WinOpportunity"),
    ("POST", f"{ROOT}LoseOpportunity"),
    *((method, f"{ROOT}{{set}}") for method in ("GET", "POST")),
    ("GET", f"{ROOT}{{set}}/$count"),
    ("POST", f"{ROOT}{{set}}/Microsoft.Dynamics.CRM.CreateMultiple"),
    ("POST", f"{ROOT}{{set}}/Microsoft.Dynamics.CRM.UpdateMultiple"),
    ("POST", f"{ROOT}{{set}}/Microsoft.Dynamics.CRM.UpsertMultiple"),
    *((method, f"{ROOT}{{set}}({{key}})") for method in ("GET", "PATCH", "DELETE")),
    *((method, f"{ROOT}{{set}}({{key}})/{{column}}") for method in ("GET", "PUT", "DELETE")),
    *((method, f"{ROOT}{{set}}({{key}})/{{lookup}}/$ref") for method in ("GET", "PUT", "DELETE")),
    *((method, f"{ROOT}{{set}}({{key}})/{{collection}}") for method in ("GET", "POST", "PUT")),
    *((method, f"{ROOT}{{set}}({{key}})/{{collection}}/$ref") for method in ("GET", "POST", "DELETE")),
    ("GET", f"{ROOT}{{set}}({{key}})/{{collection}}/$count"),
    *((method, f"{ROOT}EntityDefinitions") for method in ("GET", "POST")),
    *((method, f"{ROOT}EntityDefinitions({{key}})") for method in ("GET", "PUT", "DELETE")),
    *((method, f"{ROOT}EntityDefinitions({{key}})/Attributes") for method in ("GET", "POST", "DELETE")),
    *((method, f"{ROOT}EntityDefinitions({{key}})/Keys") for method in ("GET", "POST")),
    ("GET", f"{ROOT}EntityDefinitions({{key}})/OneToManyRelationships"),
    ("GET", f"{ROOT}EntityDefinitions({{key}})/ManyToOneRelationships"),
    ("GET", f"{ROOT}EntityDefinitions({{key}})/ManyToManyRelationships"),
    *((method, f"{ROOT}RelationshipDefinitions") for method in ("GET", "POST")),
    *((method, f"{ROOT}GlobalOptionSetDefinitions") for method in ("GET", "POST")),
)
