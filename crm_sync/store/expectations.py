"""Expectations on the store's views, evaluated by Great Expectations over SQL.

Belongs here: the one place that knows that library, and its results as plain values. Not here: what is expected
(flows/quality), how it is shown (flows/quality_page, assets, cli).
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final, Literal

from crm_sync.errors import StoreTrouble
from crm_sync.store.migrating import sqlalchemy_url

# Great Expectations is imported where it is used: it takes more than two seconds.

MOST_EXAMPLES: Final = 20
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Demand:
    """One expectation on a column of a view that holds no personal data.

    `check` names the check that it is part of, `title` says what must hold, `where` picks rows of the view, `ids` are
    the columns that tell a person which rows break it. At least the share `mostly` of the rows must be right.
    """

    check: str
    title: str
    view: str
    where: Mapping[str, str]
    column: str
    kind: Literal["in_set", "empty", "filled", "unique"]
    allowed: tuple[Any, ...] = ()
    mostly: float = 1.0
    ids: tuple[str, ...] = ("hub_id",)

    @property
    def place(self) -> str:
        """Say where it is looked for, such as contact or dynamics/contact."""
        return "/".join(self.where[name] for name in ("connection", "entity", "field") if name in self.where)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a demand: rows looked at, rows that break it, some of them (ids and the column's value).

    `trouble` names what kept it from being evaluated; `document` is the library's own result.
    """

    demand: Demand
    passed: bool
    checked: int
    unexpected: int
    examples: list[dict[str, Any]] = field(default_factory=list)
    trouble: str = ""
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Return the share of the rows that break it."""
        return self.unexpected / self.checked if self.checked else 0.0


def judge(database_url: str, demands: Sequence[Demand]) -> list[Outcome]:
    """Evaluate demands, same order; StoreTrouble where the database cannot be asked at all."""
    gx = _library()
    suites: dict[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], list[int]] = {}
    for number, demand in enumerate(demands):
        suites.setdefault((demand.view, tuple(sorted(demand.where.items())), demand.ids), []).append(number)
    found: dict[int, Outcome] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            context = gx.get_context(mode="ephemeral")
            context.variables.progress_bars = {"globally": False}
            source = context.data_sources.add_postgres(
                "hub", connection_string=_address(database_url), create_temp_table=False
            )
            try:
                for name, (key, numbers) in enumerate(suites.items()):
                    asset = source.add_query_asset(name=str(name), query=_query(*key[:2]))
                    batch = asset.add_batch_definition_whole_table("all").get_batch()
                    told = batch.validate(_suite(gx, [demands[n] for n in numbers]), result_format=_form(key[2]))
                    results = {r["expectation_config"]["meta"]["number"]: r for r in told.to_json_dict()["results"]}
                    found |= {n: _outcome(demands[n], results[at]) for at, n in enumerate(numbers)}
            finally:
                source.get_engine().dispose()
    except Exception as error:
        # What it says may hold the database's address with its password, or a value.
        raise StoreTrouble(
            f"The checks at rest could not be evaluated ({type(error).__name__}). See whether the database answers: "
            "`crm-sync status`."
        ) from None
    return [found[number] for number in range(len(demands))]


def _library() -> ModuleType:
    # It would tell its makers that it is used, and would look for its own settings in the working directory.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations

        return great_expectations


def _address(database_url: str) -> str:
    separator = "&" if "?" in database_url else "?"
    return f"{sqlalchemy_url(database_url)}{separator}options=-csearch_path%3Dcrm_sync"


def _query(view: str, where: Sequence[tuple[str, str]]) -> str:
    for name in (view, *(part for pair in where for part in pair)):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name; expected lower-case letters, digits and underscores")
    conditions = " and ".join(f"{column} = '{value}'" for column, value in where)
    return f"select * from {view} where {conditions}"  # noqa: S608 (names alone, checked above)


def _form(ids: Sequence[str]) -> dict[str, Any]:
    return {
        "result_format": "SUMMARY",
        "unexpected_index_column_names": list(ids),
        "partial_unexpected_count": MOST_EXAMPLES,
    }


def _suite(gx: ModuleType, demands: Sequence[Demand]) -> Any:
    kinds = {
        "in_set": gx.expectations.ExpectColumnValuesToBeInSet,
        "empty": gx.expectations.ExpectColumnValuesToBeNull,
        "filled": gx.expectations.ExpectColumnValuesToNotBeNull,
        "unique": gx.expectations.ExpectColumnValuesToBeUnique,
    }
    expectations = []
    for number, demand in enumerate(demands):
        options: dict[str, Any] = {"column": demand.column, "mostly": demand.mostly}
        if demand.kind == "in_set":
            options["value_set"] = list(demand.allowed)
        expectations.append(kinds[demand.kind](**options, meta={"number": number, "title": demand.title}))
    return gx.ExpectationSuite(name="at rest", expectations=expectations)


def _outcome(demand: Demand, told: dict[str, Any]) -> Outcome:
    trouble = told["exception_info"]
    if "raised_exception" not in trouble:  # one entry for each part that failed
        trouble = next(iter(trouble.values()), {"raised_exception": False})
    result = told["result"]
    if trouble["raised_exception"]:
        # The message may hold values; its class is enough to look for.
        words = re.findall(r"psycopg\.errors\.(\w+)", str(trouble["exception_message"]))
        return Outcome(demand, False, 0, 0, trouble=words[0] if words else "not evaluated")
    return Outcome(
        demand,
        bool(told["success"]),
        int(result.get("element_count") or 0),
        int(result.get("unexpected_count") or 0),
        list(result.get("partial_unexpected_index_list") or [])[:MOST_EXAMPLES],
        document=told,
    )
