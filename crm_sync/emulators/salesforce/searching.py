"""Answer search (SOSL) and parameterizedSearch in their simple forms: words in name, e-mail, phone or all text fields.

    FIND {words} [IN ALL|NAME|EMAIL|PHONE FIELDS] [RETURNING Contact(Id, Name WHERE ... LIMIT n), ...] [LIMIT n]

Words are joined by AND; * and ? are wildcards; OR, AND NOT and quotes are not supported.
"""

from __future__ import annotations

import re
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce.columns import long_text, own
from crm_sync.emulators.salesforce.compiling import Compiler
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, Unsupported, malformed_json
from crm_sync.emulators.salesforce.reading import columns, stream
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.salesforce.selecting import Selection
from crm_sync.emulators.salesforce.soql.parsing import parse

FORM = re.compile(
    r"\s*FIND\s*\{(?P<words>(?:[^}\\]|\\.)*)\}\s*(?:IN\s+(?P<where>\w+)\s+FIELDS\s*)?"
    r"(?:RETURNING\s+(?P<objects>.*?))?\s*(?:LIMIT\s+(?P<limit>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
OBJECT = re.compile(r"\s*(\w+)\s*(?:\((.*?)\))?\s*(?:,|$)", re.DOTALL)
TEXTS = ("string", "email", "phone", "url", "picklist", "textarea", "combobox")
MOST = 2000


def search(org: Org, call: Call) -> Answer:
    """GET search?q=."""
    text = call.query.get("q", "")
    match = FORM.fullmatch(text)
    if match is None:
        raise Failure(400, Problem("MALFORMED_SEARCH", f"line 1:1 mismatched input at: {text[:40]}"))
    wanted = [(name, inner or "Id") for name, inner in OBJECT.findall(match["objects"] or "") if name]
    limit = min(int(match["limit"] or MOST), MOST)
    return _found(org, call, match["words"], match["where"] or "ALL", wanted or _searchable(org), limit)


def parameterized(org: Org, call: Call) -> Answer:
    """GET parameterizedSearch?q=&sobject=&fields=&in=, or POST {"q", "sobjects", "fields", "in", "overallLimit"}."""
    body: dict[str, Any] = call.body if isinstance(call.body, dict) else {}
    given = {**call.query, **body}
    try:
        shared = _names(given.get("fields")) or "Id"
        named = [{"name": given["sobject"]}] if given.get("sobject") else []
        wanted = []
        for one in given.get("sobjects") or named:
            where = f" WHERE {one['where']}" if one.get("where") else ""
            limit = int(one.get("limit") or MOST)
            wanted.append((str(one["name"]), f"{_names(one.get('fields')) or shared}{where} LIMIT {limit}"))
        most = min(int(given.get("overallLimit") or MOST), MOST)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise malformed_json(f"The search cannot be read: {error}") from None
    if not given.get("q"):
        raise Failure(400, Problem("MALFORMED_SEARCH", "q is required"))
    return _found(org, call, str(given["q"]), str(given.get("in") or "ALL"), wanted or _searchable(org), most)


def _names(given: Any) -> str:
    return given if isinstance(given, str) else ",".join(given or ())


def _searchable(org: Org) -> list[tuple[str, str]]:
    return [(name, "Id") for name in org.schema.objects if "searchable" not in org.never(name)]


def _found(
    org: Org, call: Call, words: str, where: str, wanted: list[tuple[str, str]], limit: int
) -> Answer:
    plain = re.sub(r"\\(.)", r"\1", words).split()
    if any(word in ("OR", "AND", "NOT") or '"' in word for word in plain):
        raise Unsupported(f"operators and phrases in a search: {words}")
    if len("".join(plain).replace("*", "").replace("?", "")) < 2:
        raise Failure(400, Problem("MALFORMED_SEARCH", "search term must be longer than one character: " + words))
    rows: list[dict[str, Any]] = []
    for name, inner in wanted:
        rows += _of_object(org, call, name, inner, plain, where.upper(), limit - len(rows))
    return Answer(body={"searchRecords": rows})


def _of_object(
    org: Org, call: Call, name: str, inner: str, words: list[str], where: str, limit: int
) -> list[dict[str, Any]]:
    sobject = org.object(name)
    if sobject is None:
        raise Failure(400, Problem("INVALID_TYPE", f"sObject type '{name}' is not supported."))
    match = re.match(r"(.*?)(\s+(?:WHERE|ORDER|LIMIT|OFFSET)\b.*)?$", inner, re.DOTALL | re.IGNORECASE)
    fields, rest = (match[1], match[2] or "") if match else (inner, "")
    query = parse(f"SELECT {fields} FROM {sobject}{rest}")
    compiler = Compiler(org, query, sobject, deleted=False)
    source, params = compiler.source()
    searched = [own(one, "r").sql for one in org.fields(sobject).values() if _looks_in(org, sobject, one, where)]
    if not searched or limit <= 0:
        return []
    whole = " || ' ' || ".join(f"coalesce({sql}, '')" for sql in searched)
    for word in words:
        # a word is found where it begins one: after a space, or anything that separates
        pattern = word.casefold().replace("\\", "").replace("%", "\\%").replace("_", "\\_")
        pattern = pattern.replace("*", "%").replace("?", "_")
        source += f" AND (' ' || replace(replace(fold({whole}), '.', ' '), '@', ' ')) LIKE ? ESCAPE '\\'"
        params = [*params, f"% {pattern.replace('.', ' ').replace('@', ' ')}%"]
    most = min(limit, query.limit) if query.limit is not None else limit
    sql = f"SELECT {columns('r')} {source} ORDER BY {compiler.order()} LIMIT ? OFFSET ?"
    records = stream(org.state, sql, (*params, most, query.offset)).fetchall()
    return Selection(org, query, sobject, call.base, deleted=False).rows(records)


def _looks_in(org: Org, sobject: str, field: FieldDeclaration, where: str) -> bool:
    if field.extra.get("via") or field.type not in TEXTS:
        return False
    if where in ("EMAIL", "PHONE"):
        return field.type == where.lower()
    if where == "NAME":
        return field.name == str(org.label(sobject, "name_field"))
    return not long_text(field) or field.type == "textarea"
