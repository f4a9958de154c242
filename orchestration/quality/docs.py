"""Data Docs: plain HTML pages on what the expectations found. They open from disk and load nothing from elsewhere.

Great Expectations' own site draws its tables with scripts from a dozen hosts, so it stays empty where no network is.
"""

from __future__ import annotations

from html import escape
from itertools import groupby
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --good: #3fb950; --bad: #f85149; --warn: #d29922; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); font-weight: 600; }
"""


def write_docs(directory: Path, latest: list[dict], runs: list[dict]) -> None:
    """Write index.html and one page per layer into `directory`, replacing what was there.

    latest: rows of data_quality_results, the latest run of each layer, sorted by layer and table. runs: what
    `results.recent_runs` gives.
    """
    directory.mkdir(parents=True, exist_ok=True)
    layers = {layer: list(rows) for layer, rows in groupby(latest, key=lambda row: row["layer"])}
    pages = {f"{layer}.html": _layer_page(layer, rows) for layer, rows in layers.items()}
    pages["index.html"] = _index_page(layers, runs)
    for old in directory.glob("*.html"):
        if old.name not in pages:
            old.unlink()
    for name, page in pages.items():
        incoming = directory / f".{name}"
        incoming.write_text(page, encoding="utf-8")
        incoming.replace(directory / name)


def _index_page(layers: dict[str, list[dict]], runs: list[dict]) -> str:
    per_layer = _table(
        ["layer", "as of", "judged at (UTC)", "#tables", "#expectations", "outcome"],
        [
            [
                f'<a href="{layer}.html">{escape(layer)}</a>',
                str(rows[0]["as_of_date"]),
                f"{rows[0]['evaluated_at']:%Y-%m-%d %H:%M:%S}",
                len({row["table_name"] for row in rows}),
                len(rows),
                _outcome(_count(rows, "critical"), _count(rows, "warning")),
            ]
            for layer, rows in layers.items()
        ],
    )
    history = _table(
        ["as of", "judged at (UTC)", "#expectations", "outcome", "run"],
        [
            [
                str(run["as_of_date"]),
                f"{run['ended_at']:%Y-%m-%d %H:%M:%S}",
                run["expectations"],
                _outcome(run["failed"], run["warnings"]),
                escape(run["run_id"]),
            ]
            for run in runs
        ],
    )
    text = (
        "<p>What must hold before a snapshot is published. "
        "A critical expectation that fails keeps the marts as they were.</p>"
    )
    return _page("Data quality", f"{text}<h2>Latest outcome of each layer</h2>{per_layer}<h2>Latest runs</h2>{history}")


def _layer_page(layer: str, rows: list[dict]) -> str:
    sections = []
    for table, of_table in groupby(rows, key=lambda row: row["table_name"]):
        body = [
            [
                _outcome(_count([row], "critical"), _count([row], "warning")),
                escape(row["description"]),
                escape(row["expectation"]),
                row["unexpected_count"] if row["unexpected_count"] is not None else escape(row["observed_value"]),
            ]
            for row in of_table
        ]
        sections.append(f"<h2>{escape(table)}</h2>" + _table(["outcome", "expectation", "name", "#violations"], body))
    first = rows[0]
    judged = f"As of {first['as_of_date']}, judged at {first['evaluated_at']:%Y-%m-%d %H:%M:%S} UTC."
    text = f'<p>{judged} <a href="index.html">All layers</a></p>'
    return _page(f"Data quality of {escape(layer)}", text + "".join(sections))


def _count(rows: list[dict], severity: str) -> int:
    return sum(not row["is_success"] and row["severity"] == severity for row in rows)


def _outcome(failed: int, warnings: int) -> str:
    if failed:
        return f'<span class="bad">{failed} failed</span>'
    if warnings:
        return f'<span class="warn">{warnings} warned</span>'
    return '<span class="good">holds</span>'


def _table(header: list[str], body: list[list]) -> str:
    """A table of cells that are HTML already; a header that begins with # is a column of numbers."""
    numeric = [name.startswith("#") for name in header]
    lines = [_line("th", [name.lstrip("#") for name in header], numeric)]
    lines += [_line("td", cells, numeric) for cells in body]
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _line(tag: str, cells: list, numeric: list[bool]) -> str:
    texts = [f"{cell:,}" if isinstance(cell, int) else cell for cell in cells]
    styles = [' class="number"' if number else "" for number in numeric]
    return (
        "<tr>" + "".join(f"<{tag}{style}>{text}</{tag}>" for text, style in zip(texts, styles, strict=True)) + "</tr>"
    )


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>\n"
    )
