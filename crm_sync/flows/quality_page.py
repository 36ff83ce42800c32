"""The page of the checks at rest: one HTML file that needs nothing else, made from what the library reported.

Belongs here: its words and its looks. Not here: what is checked (quality). It shows ids, reason codes and counts only.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, Final

import orjson

from crm_sync.errors import BadSettings
from crm_sync.flows.quality import CHECKS, QualityReport
from crm_sync.store.expectations import MOST_EXAMPLES, Outcome

FOLDER: Final = "quality"
_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1d2733;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.2rem;margin-top:2.2rem}h3{font-size:1rem;margin:1.6rem 0 .3rem}
p{margin:.3rem 0}.note{color:#586574}
table{border-collapse:collapse;width:100%;margin:.4rem 0}
th,td{text-align:left;padding:.3rem .7rem .3rem 0;border-bottom:1px solid #dde3ea;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.met{color:#176639}.broken{color:#a3201c;font-weight:600}
tr.off td{background:#fdf1f0}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{overflow:auto;background:#f5f7f9;padding:.7rem;max-height:24rem}
details{margin:.3rem 0}summary{cursor:pointer}
"""


def write(path: Path, reports: Sequence[QualityReport]) -> Path:
    """Write the page of some reports to a file, whole or not at all; BadSettings where that is not possible."""
    fresh = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(page(reports), encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise BadSettings(
            f"The report {path} cannot be written ({type(error).__name__}). Choose a file in a directory that may be "
            "written."
        ) from None
    return path


def page(reports: Sequence[QualityReport]) -> str:
    """Return the page: the verdict, each check with its demands, what breaks them, and the library's own results."""
    broken = sum(report.counts()["broken"] for report in reports)
    total = sum(sum(report.counts().values()) for report in reports)
    verdict = _mark(not broken, "all met", f"{broken} broken")
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Data at rest</title><style>{_STYLE}</style><h1>Data at rest</h1>",
        f"<p>{total} expectations: {verdict}.</p>",
        "<p class=note>Ids, names, reason codes and counts; no personal data.</p>",
    ]
    parts += [_entity(report) for report in reports]
    return "\n".join(parts) + "\n"


def _entity(report: QualityReport) -> str:
    lines = [f"<h2>{escape(report.entity)}</h2><p class=note>{report.at:%Y-%m-%d %H:%M:%S} UTC</p>"]
    for check, promise in CHECKS.items():
        outcomes = report.of(check)
        if not outcomes:
            continue
        mark = _mark(all(o.passed for o in outcomes), "met", "broken")
        lines.append(f"<h3>{escape(check.replace('_', ' '))}: {mark}</h3><p>{escape(promise)}</p>")
        lines.append(_demands(outcomes))
        lines += [_broken(outcome) for outcome in outcomes if not outcome.passed]
    documents = [outcome.document for outcome in report.outcomes if outcome.document]
    shown = orjson.dumps(documents, option=orjson.OPT_INDENT_2, default=str).decode()
    summary = "<summary>Results of Great Expectations (JSON)</summary>"
    lines.append(f"<details>{summary}<pre>{escape(shown)}</pre></details>")
    return "\n".join(lines)


def _demands(outcomes: Iterable[Outcome]) -> str:
    heads = "<tr><th>where<th>expected<th class=n>rows<th class=n>unexpected<th class=n>share<th>result</tr>"
    return f"<table>{heads}{''.join(_demand(outcome) for outcome in outcomes)}</table>"


def _demand(outcome: Outcome) -> str:
    demand = outcome.demand
    result = f"not evaluated: {outcome.trouble}" if outcome.trouble else _word(outcome.passed)
    return (
        f"<tr{'' if outcome.passed else ' class=off'}><td>{escape(demand.place)}<td>{escape(demand.title)}"
        f"<td class=n>{outcome.checked}<td class=n>{outcome.unexpected}<td class=n>{outcome.share:.2%}"
        f"<td class={_word(outcome.passed)}>{escape(result)}</tr>"
    )


def _broken(outcome: Outcome) -> str:
    if not outcome.examples:
        return ""
    column = outcome.demand.column
    kinds = Counter(str(example.get(column)) for example in outcome.examples)
    told = ", ".join(f"{escape(kind)} ({count})" for kind, count in kinds.most_common())
    more = f"the first {MOST_EXAMPLES} of {outcome.unexpected}" if outcome.unexpected > MOST_EXAMPLES else "all of them"
    names = list(dict.fromkeys([*outcome.demand.ids, column]))
    heads = "".join(f"<th>{escape(name.replace('_', ' '))}" for name in names)
    rows = "".join("<tr>" + "".join(_cell(example.get(name)) for name in names) for example in outcome.examples)
    place = escape(outcome.demand.place)
    return (
        f"<details open><summary>{place}, {escape(outcome.demand.title)}: {more}: {told}</summary>"
        f"<table><tr>{heads}</tr>{rows}</table></details>"
    )


def _cell(value: Any) -> str:
    return f"<td><code>{escape(str(value))}</code>"


def _word(passed: bool) -> str:
    return "met" if passed else "broken"


def _mark(passed: bool, good: str, bad: str) -> str:
    return f"<span class={_word(passed)}>{good if passed else bad}</span>"
