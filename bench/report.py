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
GROUPS = ("web", "realtime", "postgres", "redis", "load")
MEDIANS = ("per_second", "p50", "p99", "slowest", "limit_per_second", "limit_cpu", "ratio", "strangers", "statements")


def summary(figures: Sequence[Figure]) -> list[Row]:
    """A row for each workload and number of workers: medians, and the least and most of throughput and ratio."""
    kinds = dict.fromkeys((figure.workers, figure.name) for figure in figures)
    return [_row([f for f in figures if (f.workers, f.name) == kind]) for kind in kinds]


def _row(runs: Sequence[Figure]) -> Row:
    first = runs[0]
    middle = {name: median(getattr(run, name) for run in runs) for name in (*MEDIANS, "empty", "per_socket")}
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
    head = ["workload", "workers", "per s", "least-most", "p50 ms", "p99 ms", "CPU us: web", "realtime", "pg", "redis"]
    head += ["load", "limit", "does", "ratio", "others' CPU", *(["before", "ratio then"] if before else [])]
    lines = [head]
    for row in rows:
        cpu = row["cpu"]
        line = [
            row["name"],
            str(row["workers"] or ""),
            f"{row['per_second']:,.0f}",
            f"{row['least']:,.0f}-{row['most']:,.0f}",
        ]
        line += [f"{row['p50']:.1f}", f"{row['p99']:.1f}", *(_us(cpu[group]) for group in GROUPS)]
        if row["limit"]:
            line += [row["limit"], does(row["limit_per_second"], row["limit_cpu"]), f"{row['ratio']:.2f}"]
        else:
            line += [f"all in {row['slowest']:.0f} ms", f"{row['statements']:.0f} statements", ""]
        line.append("" if row["limit_cpu"] else f"{row['strangers']:.0%}")
        if before:
            then = before.get((row["workers"], row["name"]))
            comparable = then is not None and then["limit"] == row["limit"]  # sockets have another one without Node
            line += [does_itself(then) if then else "", f"{then['ratio']:.2f}" if then and comparable else ""]
        lines.append(line)
        if row["wrong"]:
            what = "missed or late, or closed" if row["limit_cpu"] else "wrong answers"
            lines.append([f"  {row['wrong']} {what}!", *[""] * (len(head) - 1)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _us(cpu: float) -> str:
    return f"{cpu:,.1f}" if 0 < cpu < 100 else f"{cpu:,.0f}" if cpu else ""


def does(per_second: float, cpu: float) -> str:
    """How fast somebody is; or, where cost is compared, how many us of CPU time a message takes."""
    return f"{cpu:.1f} us" if cpu else f"{per_second:,.0f}/s"


def does_itself(row: Row) -> str:
    return does(row["per_second"], row["cpu"]["realtime"] if row.get("limit_cpu") else 0.0)


def notes(rows: Sequence[Row], memory: dict[str, list[int]]) -> str:
    """What stands below the table."""
    sizes = ", ".join(f"{size / 1e6:.0f} MB" for size in memory.get("web", ()))
    lines = [f"web, memory of each process: {sizes}"] if sizes else []
    for row in rows:
        if row["limit_cpu"]:
            size, each = row["empty"] / 1e6, row["per_socket"] / 1024
            lines.append(f"realtime, resident: {size:.0f} MB, and {each:.1f} KiB for each socket")
            lines.append(
                f"{row['name']}: per s and CPU time are of delivered messages; the ratio is the limit's CPU time for one by"
                f" that of realtime, so that above 1 it costs less than {row['limit']}"
            )
    return "\n".join(lines)


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
