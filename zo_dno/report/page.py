"""A run as one HTML file that needs nothing else: what was found, how, at what price, and whether to trust it."""

import base64
import html
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zo_dno.config import read_yaml
from zo_dno.errors import InputError
from zo_dno.files import write_text
from zo_dno.ledger import Ledger, Query
from zo_dno.run_folder import CONFIG, LEDGER, check_is_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zo_dno.archive import Found
    from zo_dno.result import Result

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --dim: #5d6778; --paper: #fff; --line: #dde2ea; --card: #f6f8fb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf3; --dim: #9aa5b8; --paper: #12161e; --line: #2b3342; --card: #1a202b; }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem } h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem }
p.lead { color: var(--dim); margin: 0 0 1rem }
.pair { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0 }
figcaption { color: var(--dim); font-size: .9rem }
.pair figure { flex: 1 1 14rem } .pair img { width: 100%; image-rendering: auto; border-radius: .4rem }
img { max-width: 100%; height: auto }
.plot { background: #fff; border-radius: .4rem; padding: .5rem; width: 100%; min-width: 36rem }
.strip { overflow-x: auto } .strip img { max-width: none }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.n, th.n { text-align: right } .wide { overflow-x: auto }
pre { background: var(--card); padding: .75rem; border-radius: .4rem; overflow-x: auto; font-size: .85rem }
.warn { border-left: 4px solid #d1495b; padding: .3rem .75rem; background: var(--card) }
"""


def write_run_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a run that has a result; returns where.

    Raises:
        InputError: the folder holds no run, or no result yet.
    """
    check_is_run(folder)
    path = folder / "report.html" if out is None else out
    write_text(path, run_report(folder))
    return path


def run_report(folder: Path) -> str:
    """Return the report of a run as HTML.

    Raises:
        InputError: it has no result yet.
    """
    try:
        result = json.loads((folder / "result.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"run {folder} has no result yet ({error}). Finish it: zo-dno resume {folder}") from error
    ledger = Ledger(folder / LEDGER, read_only=True)
    rows = [row for row in ledger.queries("search") if row.answered]
    ledger.close()
    return _html(folder, result, read_yaml(folder / CONFIG), rows)


def card(result: "Result") -> str:
    """Return first and best image, their rewards and the course of the search as a piece of HTML."""
    from zo_dno.report.progress import progress_figure

    def shown(label: str, found: "Found") -> str:
        buffer = BytesIO()
        Image.fromarray(found.image).save(buffer, "PNG")
        caption = f"{label}: {_number(found.reward)} {html.escape(result.unit)}"
        return (
            f'<figure style="margin:0"><img src="{_address(buffer.getvalue())}" alt="{label}" style="width:16rem">'
            f"<figcaption>{caption}</figcaption></figure>"
        )

    best = result.best
    title = f"{html.escape(result.prompt or result.model)}: {html.escape(result.reward)}, {result.queries} queries"
    trust = f"log P {best.log_prob:.2f}, {'plausible' if best.feasible else 'not plausible'} as Gaussian noise"
    pair = shown("first", result.first) + shown("best", best)
    curve = f'<img src="{embedded(progress_figure(result))}" alt="course" style="max-width:46rem;width:100%">'
    return f'<p><b>{title}</b><br>{trust}</p><div style="display:flex;gap:1rem;flex-wrap:wrap">{pair}</div>{curve}'


def hacking_figure(rows: Sequence[Query]) -> "Figure":
    """Draw what a search might have bought its reward with: log P, norm and whiteness of every candidate."""
    from matplotlib.figure import Figure

    rewards = np.array([np.nan if row.value is None else row.value for row in rows])
    order = np.arange(1, len(rows) + 1)
    panels = (
        ("log P(z)", [row.log_prob for row in rows]),
        ("norm / sqrt(d)", [row.norm_ratio for row in rows]),
        ("whiteness, log10 p", [np.log10(max(row.whiteness, 1e-12)) for row in rows]),
    )
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    for axes, (label, values) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.scatter(values, rewards, c=order, s=9, cmap="viridis", lw=0)
        axes.set_xlabel(label)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
    figure.axes[0].set_ylabel("reward")
    figure.colorbar(figure.axes[0].collections[0], ax=figure.axes, label="query")
    return figure


def embedded(figure: "Figure") -> str:
    """Return a figure as the address of an image that holds it."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return _address(buffer.getvalue())


def _html(folder: Path, result: dict[str, Any], config: dict[str, Any], rows: Sequence[Query]) -> str:
    e = html.escape
    title = e(str(result["prompt"] or result["model"]))
    best, first = result["best"], result["first"]
    warnings = []
    if not best["feasible"]:
        warnings.append("The winner is not plausible as a draw of a Gaussian: its reward may be bought with odd noise.")
    if result["status"] not in ("finished", "target"):
        warnings.append(f"The run is {result['status']}.")
    if result.get("drift"):
        warnings.append(f"It cannot be repeated exactly: {result['drift']}.")
    table = [
        (f"{result['reward']} ({result['unit']})", _number(first["reward"]), _number(best["reward"])),
        *((f"{n} (held out)", _number(v["first"]), _number(v["best"])) for n, v in result["held_out"].items()),
        ("log P(z)", _number(rows[0].log_prob if rows else None), _number(best["log_prob"])),
        ("norm ratio", _number(rows[0].norm_ratio if rows else None), _number(best["norm_ratio"])),
        ("whiteness (p)", _number(rows[0].whiteness if rows else None), _number(best["whiteness"])),
    ]
    baseline = result.get("baseline")
    if baseline:
        how = "measured" if baseline["measured"] else "estimated"
        table.append((f"best of {baseline['queries']} prior draws ({how})", "", _number(baseline["reward"])))
    spent = {
        "queries": result["queries"],
        "of them without a score": result["failed_queries"],
        "of them remembered": result["cached_queries"],
        "denoiser calls": result["nfe"],
        "cost at most": _number(result["cost"]),
        **{f"seconds: {name}": _number(value) for name, value in result["seconds"].items()},
    }
    pictures = [
        ("first.png", "candidate 0", first["reward"]),
        ("best.png", f"the winner, {best['id']}", best["reward"]),
    ]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{title} · zo-dno</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head><body>',
            f"<h1>{title}</h1>",
            f'<p class="lead">{e(str(result["model"]))} · {e(str(result["strategy"]))} · seed {result["seed"]} · '
            f"{result['queries']} queries · {e(str(result['status']))}</p>",
            *(f'<p class="warn">{e(text)}</p>' for text in warnings),
            '<div class="pair">',
            *(
                f'<figure><img src="{_file(folder / name)}" alt="{e(text)}"><figcaption>{e(text)}: '
                f"{_number(value)}</figcaption></figure>"
                for name, text, value in pictures
            ),
            "</div>",
            "<h2>What it found</h2>",
            _table(("", "first", "best"), table),
            "<h2>The way there</h2>",
            f'<div class="strip"><img src="{_file(folder / "strip.png")}" alt="images on the way"></div>',
            f'<div class="wide"><img class="plot" src="{_file(folder / "progress.png")}" alt="course"></div>',
            "<h2>Was the reward bought?</h2>",
            "<p>A search that breaks the model leaves the Gaussian's typical set: log P falls, the norm leaves 1, the "
            "spectrum is not white. Held-out rewards were never optimised.</p>",
            f'<div class="wide"><img class="plot" src="{embedded(hacking_figure(rows))}" alt="plausibility"></div>',
            "<h2>What it cost</h2>",
            _table(("", ""), [(name, str(value)) for name, value in spent.items()]),
            "<h2>To repeat it</h2>",
            f"<pre>zo-dno run config.yaml --out again\n\n# config.yaml\n{e(_yaml(config))}</pre>",
            f"<pre>{e(_yaml(result.get('versions') or {}))}</pre>",
            "</body></html>",
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if place else ''}>{html.escape(str(cell))}</{tag}>" for place, cell in enumerate(row)
        )

    lines = [f"<tr>{cells(row, 'td')}</tr>" for row in rows]
    return f'<div class="wide"><table><tr>{cells(head, "th")}</tr>{"".join(lines)}</table></div>'


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _yaml(values: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _file(path: Path) -> str:
    return _address(path.read_bytes()) if path.exists() else ""


def _address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
