"""A bar chart of ratios to the limit, as SVG."""

from collections.abc import Sequence
from html import escape

from bench.report import Row, does_itself

BAR, GAP, LEFT, WIDTH = 16, 6, 190, 420
TITLE = "Throughput as a part of the limit; of sockets: the limit's CPU time by ours"
COLOURS = ("#2b6cb0", "#90cdf4")


def ratios(rows: Sequence[Row]) -> str:
    """One bar for each workload and number of workers; the line is the limit that was measured beside it."""
    shown = [row for row in rows if row["limit"]]
    counts = sorted({row["workers"] for row in shown} - {0}, reverse=True)
    height = len(shown) * (BAR + GAP) + 60
    size = f'width="{LEFT + WIDTH + 260}" height="{height}"'
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="20" font-size="14">{TITLE} (web workers: {counts})</text>',
    ]
    most = max([1.0, *(row["ratio"] for row in shown)])
    for place, row in enumerate(shown):
        top, length = 36 + place * (BAR + GAP), row["ratio"] / most * WIDTH
        name = escape(f"{row['name']} ({row['workers']})" if row["workers"] else row["name"])
        text = escape(f"{row['ratio']:.2f} of {row['limit']}, {does_itself(row)}, p99 {row['p99']:.1f} ms")
        colour = COLOURS[counts.index(row["workers"]) % len(COLOURS) if row["workers"] else 0]
        drawn.append(f'<text x="{LEFT - 8}" y="{top + 12}" text-anchor="end">{name}</text>')
        drawn.append(f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
        drawn.append(f'<text x="{LEFT + length + 6:.1f}" y="{top + 12}" fill="#444">{text}</text>')
    limit = LEFT + WIDTH / most
    drawn.append(f'<line x1="{limit:.1f}" x2="{limit:.1f}" y1="30" y2="{height - 20}" stroke="#c53030"/>')
    return "\n".join([*drawn, "</svg>"]) + "\n"
