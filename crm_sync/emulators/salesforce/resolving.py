"""Find what a path in a query means, such as Name, c.Account.Owner.Name or Who.Type."""

from __future__ import annotations

from collections.abc import Iterable

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce.failures import Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.rendering import NAME_FIELDS
from crm_sync.emulators.salesforce.schema import STANDARD_ELSEWHERE, Org, relationship_name, targets
from crm_sync.emulators.salesforce.soql.tree import Query, Token, malformed

DEEPEST = 5
Path = tuple[FieldDeclaration, ...]
"""References that are followed, then the field itself."""


def no_column(query: Query, token: Token, name: str, entity: str) -> Failure:
    """Return the failure of an unknown (or hidden) field."""
    return malformed(
        query.text,
        token.at,
        f"No such column '{name}' on entity '{entity}'. If you are attempting to use a custom field, be sure to append "
        "the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate "
        "names.",
        "INVALID_FIELD",
    )


def find_object(org: Org, query: Query) -> str:
    """Return the object that a query is about."""
    name = query.source.text
    found = org.object(name)
    if found is not None:
        return found
    if name.casefold() in STANDARD_ELSEWHERE:
        raise Unsupported(f"queries of {name}: {query.text}")
    text = (
        f"sObject type '{name}' is not supported. If you are attempting to use a custom object, be sure to append "
        "the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate "
        "names."
    )
    raise malformed(query.text, query.source.at, text, "INVALID_TYPE")


def find_path(org: Org, query: Query, sobject: str, token: Token) -> Path:
    """Return the declarations along a path. Raises Failure."""
    parts = token.text.split(".")
    prefixes = {name.casefold() for name in (sobject, query.alias, query.source.text) if name}
    if len(parts) > 1 and parts[0].casefold() in prefixes and not (
        org.relationship(sobject, parts[0]) and parts[0].casefold() != (query.alias or "").casefold()
    ):
        parts = parts[1:]
    if len(parts) > DEEPEST + 1:
        text = f"The path {token.text} follows more than {DEEPEST} relationships"
        raise malformed(query.text, token.at, text, "INVALID_FIELD")
    steps: list[FieldDeclaration] = []
    current: str | None = sobject
    for part in parts[:-1]:
        reference = org.relationship(current, part) if current else None
        if reference is None:
            text = (
                f"Didn't understand relationship '{part}' in field path. If you are attempting to use a custom "
                "relationship, be sure to append the '__r' after the custom relationship name. Please reference your "
                "WSDL or the describe call for the appropriate names."
            )
            raise malformed(query.text, token.at, text, "INVALID_FIELD")
        several = targets(reference)
        current = several[0] if len(several) == 1 else None
        if current is not None and org.object(current) is None:
            raise Unsupported(f"the path {token.text}: {query.text}")
        steps.append(reference)
    leaf = org.field(current, parts[-1]) if current else _named(parts[-1])
    if leaf is None:
        raise no_column(query, token, parts[-1], current or "Name")
    return (*steps, leaf)


def refuse_twice(paths: Iterable[Path]) -> None:
    """Refuse a field that is selected twice. Source: SOQL reference, FIELDS()."""
    seen: set[str] = set()
    for path in paths:
        name = ".".join([*(relationship_name(one) for one in path[:-1]), path[-1].name])
        if name in seen:
            raise Failure(400, Problem("INVALID_FIELD", f"duplicate field selected: {name}"))
        seen.add(name)


def _named(name: str) -> FieldDeclaration | None:
    return next((one for one in NAME_FIELDS.values() if one.name.casefold() == name.casefold()), None)
