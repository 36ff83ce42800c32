"""The table that a benchmark prints."""

from __future__ import annotations

from typing import Any, Final

from bench.stopwatch import STAGES

RATIOS: Final = (("empty hub", 0.15), ("unchanged", 0.40))
"""Share of floor 2 that a round is meant to reach."""


_COLUMNS: Final = ("rows/s", "of floor 1", "of floor 2")


def report(found: dict[str, Any]) -> str:
    """Return the figures of one CRM as text."""
    one = found["floor_1"]
    lines = [
        f"{found['crm']}: {one['rows']:,} contacts, {one['size'] / 1e6:.1f} MB of answers; load {found['load']:.1f}",
        f"  {'':<22}" + "".join(f"{word:>12}" for word in (*_COLUMNS, "remembered", *_COLUMNS[1:])),
    ]
    for name, label in (("floor_1", "floor 1: read, parse"), ("floor_2", "floor 2: and copy"), ("read", "read")):
        lines.append(_rates(label, _rate(found[name]), _rate(found[f"{name}_remembered"]), found))
    lines += [_rates(r["name"], _rate(r), None, found) for r in found["rounds"]]
    columns = [*STAGES, "total s", "cpu s", "db cpu", "calls"]
    lines.append(f"  {'':<14}" + "".join(f"{word:>8}" for word in columns) + f"{'written':>10}")
    for r in found["rounds"]:
        stages = "".join(f"{r['stages'].get(s, 0.0):>8.2f}" for s in STAGES)
        written = sum(r["written"].values())
        spent = f"{r['seconds']:>8.2f}{r['cpu_seconds']:>8.2f}{r['server_cpu_seconds']:>8.2f}"
        lines.append(f"  {r['name']:<14}{stages}{spent}{r['calls']:>8,}{written:>10,}")
    for round_ in found["rounds"]:
        for name, target in RATIOS:
            if round_["name"] == name:
                ratio = _rate(round_) / _rate(found["floor_2"])
                lines.append(f"  {name}: {ratio:.2f} of floor 2 (target {target:.2f}); {_cpu(found, round_)}")
    peak = max(r["peak_mib"] for r in found["rounds"][:2])
    lines.append(f"  peak memory: {peak:.0f} MiB" + _growth(peak, found.get("peak_mib_2n")))
    return "\n".join(lines)


def _cpu(found: dict[str, Any], round_: dict[str, Any]) -> str:
    """Compare processor time a row, which does not depend on what else the machine does."""
    mine = (round_["cpu_seconds"] + round_["server_cpu_seconds"]) / round_["rows"]
    floor = found["floor_2"]["cpu_seconds"] / found["floor_2"]["rows"]
    return f"{mine * 1e6:.0f} us of processor a row, floor 2 {floor * 1e6:.0f} us: {floor / mine:.2f}"


def _rate(measured: dict[str, Any]) -> float:
    return float(measured["rows"] / measured["seconds"])


def _rates(label: str, rate: float, remembered: float | None, found: dict[str, Any]) -> str:
    """Show rows per second beside both floors, the CRM computing its answers, and remembering them where measured."""
    shown = f"  {label:<22}{rate:>12,.0f}{rate / _rate(found['floor_1']):>12.2f}{rate / _rate(found['floor_2']):>12.2f}"
    if remembered is None:
        return shown
    one, two = _rate(found["floor_1_remembered"]), _rate(found["floor_2_remembered"])
    return shown + f"{remembered:>12,.0f}{remembered / one:>12.2f}{remembered / two:>12.2f}"


def _growth(peak: float, twice: float | None) -> str:
    return "" if twice is None else f", with twice the contacts {twice:.0f} MiB ({twice / peak - 1:+.0%}; target +10 %)"
