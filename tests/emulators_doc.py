"""Write the generated parts of docs/emulators.md: python -m tests.emulators_doc [--check].

Belongs here: support matrix, catalogue of the CRMs' faults, table fact -> test or "unverified", their counts. A test
shows a fact with @pytest.mark.fact("<crm>:<slug>"), several allowed, on a function, a class or in `pytestmark`; marks
are read from the source, so that nothing has to run. A test of a CRM (tests/unit/emulators/<crm>) shows a fault that it
arms by name. Not here: the text around them (docs/emulators.md).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from crm_sync.emulators import matrix
from crm_sync.emulators.settings import CRMS

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "emulators.md"
TITLES = {"salesforce": "Salesforce", "hubspot": "HubSpot", "dynamics": "Dynamics 365 (Dataverse)"}


@cache
def marked() -> dict[str, list[str]]:
    """Return fact -> tests that show it ("tests/unit/test_x.py::test_y"), as the marks in the source say."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.fact(" in text:
            for fact, test in _marks(ast.parse(text)):
                found.setdefault(fact, []).append(f"{path.relative_to(ROOT).as_posix()}::{test}")
    return found


def _marks(module: ast.Module) -> Iterator[tuple[str, str]]:
    ours = [n for n in module.body if isinstance(n, ast.Assign) and any(_named(t, "pytestmark") for t in n.targets)]
    for fact in (fact for node in ours for fact in _facts(node.value)):
        yield from ((fact, test) for test, _ in _tests(module.body, ""))
    for test, decorators in _tests(module.body, ""):
        yield from ((fact, test) for node in decorators for fact in _facts(node))


def _named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _tests(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, list[ast.expr]]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield prefix + node.name, node.decorator_list
        elif isinstance(node, ast.ClassDef):
            for test, decorators in _tests(node.body, f"{prefix}{node.name}::"):
                yield test, [*node.decorator_list, *decorators]


def _facts(node: ast.expr) -> Iterator[str]:
    """Yield the facts of every `pytest.mark.fact(...)` below a node (a parameter's `marks=` too)."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "fact":
            yield from (one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str))


def unknown_marks() -> list[str]:
    """Return what tests claim to show and no facts.toml has."""
    known = {f"{crm}:{fact.slug}" for crm in CRMS for fact in matrix.facts(crm)}
    return [f"{fact} ({', '.join(tests)})" for fact, tests in marked().items() if fact not in known]


def counts() -> str:
    """Return in one line how many facts a test shows."""
    told = []
    for crm in CRMS:
        facts = matrix.facts(crm)
        shown = sum(f"{crm}:{fact.slug}" in marked() for fact in facts)
        told.append(f"{crm} {shown} of {len(facts)}")
    return f"facts of the CRMs that a test shows: {', '.join(told)}; the others are unverified"


@cache
def armed(crm: str) -> dict[str, frozenset[str]]:
    """Return test -> all texts in it, of those tests of a CRM that arm a fault."""
    found = {}
    for path in sorted((ROOT / "tests" / "unit" / "emulators" / crm).glob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and _arms(node):
                texts = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant))
                name = f"{path.relative_to(ROOT).as_posix()}::{node.name}"
                found[name] = frozenset(text for text in texts if isinstance(text, str))
    return found


def _arms(node: ast.FunctionDef) -> bool:
    called = (call.func for call in ast.walk(node) if isinstance(call, ast.Call))
    return any(getattr(one, "attr", getattr(one, "id", "")) in ("arm", "Fault") for one in called)


def striking(crm: str, action: str, *options: str) -> list[str]:
    """Return the tests that arm a fault of a CRM, and name these values of its options."""
    return [test for test, texts in armed(crm).items() if {action, *options} <= texts]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _facts_table() -> Iterator[str]:
    yield counts().capitalize() + "."
    for crm in CRMS:
        yield f"\n### {TITLES[crm]}: facts\n"
        yield "| fact | source | test |\n|---|---|---|"
        for fact in matrix.facts(crm):
            tests = marked().get(f"{crm}:{fact.slug}", [])
            shown = "<br>".join(f"`{one.removeprefix('tests/')}`" for one in tests) or "unverified"
            yield f"| {_cell(fact.text)} | {_cell(fact.source)} | {shown} |"


def _matrix_table() -> Iterator[str]:
    for crm in CRMS:
        yield f"\n### {TITLES[crm]}: endpoints\n"
        yield "| method | path | supported | remarks |\n|---|---|---|---|"
        rows: dict[tuple[str, str, str], list[str]] = {}
        for one in matrix.endpoints(crm):
            rows.setdefault((one.path, one.supports, one.note), []).append(one.method)
        for (path, supports, note), methods in rows.items():
            yield f"| {' '.join(methods)} | `{path}` | {_cell(supports)} | {_cell(note)} |"


def _faults_table() -> Iterator[str]:
    for crm in CRMS:
        yield f"\n### {TITLES[crm]}: faults of its own\n"
        yield "| action | options | what happens | test |\n|---|---|---|---|"
        for action, one in (matrix.faults(crm) or {}).items():
            options = "; ".join(
                f"{name}: {', '.join(map(str, values)) if isinstance(values, list) else values}"
                for name, values in one.items()
                if name != "does"
            )
            tests = "<br>".join(f"`{test.removeprefix('tests/unit/emulators/')}`" for test in striking(crm, action))
            yield f"| `{action}` | {_cell(options)} | {_cell(one['does'])} | {tests} |"


PARTS = {"facts": _facts_table, "matrix": _matrix_table, "faults": _faults_table}


def written(text: str) -> str:
    """Return a document with its generated parts as they are now; ValueError where it has no place for one."""
    for name, rows in PARTS.items():
        begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
        pattern = re.compile(f"{begin}.*?{end}", re.DOTALL)
        if pattern.search(text) is None:
            raise ValueError(f"{DOCUMENT.name} has no {begin} ... {end}; add both lines where the table belongs.")
        body = "\n".join(rows())
        text = pattern.sub(lambda _, b=begin, e=end, t=body: f"{b}\n{t}\n{e}", text)  # type: ignore[misc]
    return text


def main() -> int:
    """Write the document, or with --check say whether it is up to date (exit code 1 where it is not)."""
    now = DOCUMENT.read_text(encoding="utf-8")
    new = written(now)
    if "--check" in sys.argv:
        return int(now != new)
    DOCUMENT.write_text(new, encoding="utf-8")
    print(counts())
    return 0


if __name__ == "__main__":
    sys.exit(main())
