"""What was measured, as a table, as JSON and as a chart. Medians of the rounds, with the least and the most."""

from collections.abc import Sequence
from html import escape
from statistics import median
from typing import Any

from bench.live.measuring import LiveFigure

Row = dict[str, Any]
MEDIANS = ("cpu", "busy", "p50", "p99", "slowest", "empty", "per_socket", "bytes_per_frame", "client_cpu")
BAR, GAP, LEFT, WIDTH = 16, 6, 230, 420


def summary(figures: Sequence[LiveFigure]) -> list[Row]:
    """A row for each server and crowd; `to_limit` and `to_plain` compare its CPU time with those of the same crowd."""
    kinds = dict.fromkeys((figure.sockets, figure.rate, figure.server) for figure in figures)
    rows = [_row([f for f in figures if (f.sockets, f.rate, f.server) == kind]) for kind in kinds]
    for row in rows:
        beside = {other["server"]: other["cpu"] for other in rows if _crowd(other) == _crowd(row)}
        row["to_limit"] = row["cpu"] / beside["limit"] if "limit" in beside else None
        row["to_plain"] = row["cpu"] / beside["plain consumer"] if "plain consumer" in beside else None
    return rows


def _crowd(row: Row) -> tuple[int, float]:
    return row["sockets"], row["rate"]


def _row(runs: Sequence[LiveFigure]) -> Row:
    first = runs[0]
    return {
        "server": first.server,
        "sockets": first.sockets,
        "rate": first.rate,
        **{name: median(getattr(run, name) for run in runs) for name in MEDIANS},
        "least": min(run.cpu for run in runs),
        "most": max(run.cpu for run in runs),
        "missed": sum(run.missed for run in runs),
        "closed": sum(run.closed for run in runs),
    }


def table(rows: Sequence[Row]) -> str:
    head = ["sockets x per s", "server", "CPU us a delivery", "least-most", "to the limit", "to plain", "busy"]
    head += ["p50 ms", "p99 ms", "slowest", "missed", "empty MB", "KiB a socket", "client us"]
    lines = [head, *map(_line, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _line(row: Row) -> list[str]:
    return [
        f"{row['sockets']:,} x {row['rate']:g}",
        row["server"],
        f"{row['cpu']:.1f}",
        f"{row['least']:.1f}-{row['most']:.1f}",
        *(f"{row[name]:.2f}" if row[name] is not None else "" for name in ("to_limit", "to_plain")),
        f"{row['busy']:.0%}",
        *(f"{row[name]:.0f}" for name in ("p50", "p99", "slowest")),
        f"{row['missed']:,}" + (f", {row['closed']} closed" if row["closed"] else ""),
        f"{row['empty'] / 1e6:.0f}",
        f"{row['per_socket'] / 1024:.1f}",
        f"{row['client_cpu']:.1f}",
    ]


def chart(rows: Sequence[Row]) -> str:
    """A bar for each row: CPU time for each delivery, as SVG."""
    height, most = len(rows) * (BAR + GAP) + 50, max(row["cpu"] for row in rows)
    size = f'width="{LEFT + WIDTH + 230}" height="{height}"'
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="8" y="20" font-size="14">CPU time for each delivered message, in microseconds</text>',
    ]
    for place, row in enumerate(rows):
        top, length = 36 + place * (BAR + GAP), row["cpu"] / most * WIDTH
        name = escape(f"{row['server']} ({row['sockets']:,} x {row['rate']:g}/s)")
        ratio = f", {row['to_limit']:.2f} of the limit" if row["to_limit"] else ""
        colour = "#2b6cb0" if row["server"].startswith("ours") else "#a0aec0"
        drawn.append(f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{name}</text>')
        drawn.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
        drawn.append(f'<text x="{LEFT + length + 6:.1f}" y="{top + 12}" fill="#444">{row["cpu"]:.1f}{ratio}</text>')
    return "\n".join([*drawn, "</svg>"]) + "\n"
