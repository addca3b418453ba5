"""What was measured, as a table, as JSON and next to an earlier result. Medians of the rounds, and their spread."""

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.measuring import Figure

Row = dict[str, Any]
GROUPS = ("web", "postgres", "redis", "load")


def summary(figures: Sequence[Figure]) -> list[Row]:
    """A row for each workload and number of workers: medians, and the least and most of throughput and ratio."""
    kinds = dict.fromkeys((figure.workers, figure.name) for figure in figures)
    return [_row([f for f in figures if (f.workers, f.name) == kind]) for kind in kinds]


def _row(runs: Sequence[Figure]) -> Row:
    first = runs[0]
    middle = {
        name: median(getattr(run, name) for run in runs)
        for name in ("per_second", "p50", "p99", "slowest", "limit_per_second", "ratio", "strangers", "statements")
    }
    return {
        "name": first.name,
        "workers": first.workers,
        "limit": first.limit,
        "bytes_per_answer": first.bytes_per_answer,
        **middle,
        "least": min(run.per_second for run in runs),
        "most": max(run.per_second for run in runs),
        "least_ratio": min(run.ratio for run in runs),
        "most_ratio": max(run.ratio for run in runs),
        "cpu": {group: median(run.cpu.get(group, 0.0) for run in runs) for group in sorted({*GROUPS, *first.cpu})},
        "wrong": sum(run.wrong for run in runs),
    }


def table(rows: Sequence[Row], earlier: Sequence[Row] = ()) -> str:
    before = {(row["workers"], row["name"]): row for row in earlier}
    head = ["workload", "workers", "per s", "least-most", "p50 ms", "p99 ms", "CPU us: web", "pg", "redis", "load"]
    head += ["limit", "per s", "ratio", "others' CPU", *(["before", "ratio then"] if before else [])]
    lines = [head]
    for row in rows:
        cpu = row["cpu"]
        line = [
            row["name"],
            str(row["workers"]),
            f"{row['per_second']:,.0f}",
            f"{row['least']:,.0f}-{row['most']:,.0f}",
        ]
        line += [f"{row['p50']:.1f}", f"{row['p99']:.1f}", *(f"{cpu[group]:,.0f}" for group in GROUPS)]
        if row["limit"]:
            line += [row["limit"], f"{row['limit_per_second']:,.0f}", f"{row['ratio']:.2f}"]
        else:
            line += [f"all in {row['slowest']:.0f} ms", f"{row['statements']:.0f} statements", ""]
        line.append(f"{row['strangers']:.0%}")
        if before:
            then = before.get((row["workers"], row["name"]))
            line += [f"{then['per_second']:,.0f}", f"{then['ratio']:.2f}"] if then else ["", ""]
        lines.append(line)
        if row["wrong"]:
            lines.append([f"  {row['wrong']} wrong answers!", *[""] * (len(head) - 1)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def circumstances(settings: dict[str, str]) -> dict[str, Any]:
    """Where and when it was measured, and with which settings of the servers."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": _processors(),
        **settings,
    }


def _processors() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else ""


def write(path: Path, figures: Sequence[Figure], about: dict[str, Any], memory: dict[str, list[int]]) -> None:
    found = {"about": about, "rows": summary(figures), "memory": memory, "runs": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(found, indent=1) + "\n")


def read(path: Path) -> list[Row]:
    """The rows of an earlier result."""
    rows: list[Row] = json.loads(path.read_text())["rows"]
    return rows
