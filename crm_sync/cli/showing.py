"""What commands print: tables for people, JSON for programs, progress on a terminal.

Belongs here: forms of output. Not here: what is shown (commands).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

Row = Mapping[str, Any]


def as_json(value: Any) -> str:
    """Return JSON with two spaces of indent; what JSON lacks becomes text."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode()


def show(rows: Sequence[Row], *, json: bool, empty: str) -> None:
    """Print rows as one JSON list or as a table; `empty` says what having none means."""
    if json:
        typer.echo(as_json(list(rows)))
    elif rows:
        print_table(rows)
    else:
        typer.echo(empty)


def print_table(rows: Sequence[Row]) -> None:
    """Print rows of equal keys as a table: boxed on a terminal, columns of plain text elsewhere."""
    heads = list(rows[0])
    cells = [[_text(row.get(head)) for head in heads] for row in rows]
    titles = [head.replace("_", " ") for head in heads]
    numeric = [all(isinstance(row.get(head), int | float | None) for row in rows) for head in heads]
    if sys.stdout.isatty():
        table = Table(box=None, pad_edge=False)
        for title, right in zip(titles, numeric, strict=True):
            table.add_column(title, justify="right" if right else "left")
        for row in cells:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(len(line[at]) for line in [titles, *cells]) for at in range(len(heads))]
    for line in [titles, *cells]:
        parts = [c.rjust(w) if right else c.ljust(w) for c, w, right in zip(line, widths, numeric, strict=True)]
        typer.echo("  ".join(parts).rstrip())


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, float):
        return f"{value:.0f}"
    return str(value)


@contextmanager
def progress(*, json: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function that says what is going on: one changing line on a terminal, lines elsewhere."""
    if json:
        yield lambda message: None
    elif sys.stderr.isatty():
        with Console(stderr=True).status("starting") as status:
            yield lambda message: status.update(message)
    else:
        yield lambda message: typer.echo(message, err=True)
