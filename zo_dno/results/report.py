"""A run as one HTML file that needs nothing else: what was found, how, at what price, and whether to trust it."""

import html
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zo_dno.errors import InputError
from zo_dno.results.markup import address, embedded, number, page, table
from zo_dno.storage.atomic import read_yaml, write_text
from zo_dno.storage.ledger import Ledger, QueryRow
from zo_dno.storage.run_folder import CONFIG, LEDGER, check_is_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zo_dno.results.result import Result
    from zo_dno.search.archive import Found


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
    rows = [row for row in ledger.queries("search") if row.completed]
    ledger.close()
    return _html(folder, result, read_yaml(folder / CONFIG), rows)


def card(result: "Result") -> str:
    """Return first and best image, their rewards and the course of the search as a piece of HTML."""
    from zo_dno.results.progress_figure import progress_figure

    def shown(label: str, found: "Found") -> str:
        buffer = BytesIO()
        Image.fromarray(found.image).save(buffer, "PNG")
        caption = f"{label}: {number(found.reward)} {html.escape(result.unit)}"
        return (
            f'<figure style="margin:0"><img src="{address(buffer.getvalue())}" alt="{label}" style="width:16rem">'
            f"<figcaption>{caption}</figcaption></figure>"
        )

    best = result.best
    title = f"{html.escape(result.prompt or result.model)}: {html.escape(result.reward)}, {result.queries} queries"
    trust = f"log P {best.log_prob:.2f}, {'plausible' if best.plausible else 'not plausible'} as Gaussian noise"
    pair = shown("first", result.first) + shown("best", best)
    curve = f'<img src="{embedded(progress_figure(result))}" alt="course" style="max-width:46rem;width:100%">'
    return f'<p><b>{title}</b><br>{trust}</p><div style="display:flex;gap:1rem;flex-wrap:wrap">{pair}</div>{curve}'


def hacking_figure(rows: Sequence[QueryRow]) -> "Figure":
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


def _html(folder: Path, result: dict[str, Any], config: dict[str, Any], rows: Sequence[QueryRow]) -> str:
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
    found = [
        (f"{result['reward']} ({result['unit']})", number(first["reward"]), number(best["reward"])),
        *((f"{n} (held out)", number(v["first"]), number(v["best"])) for n, v in result["held_out"].items()),
        ("log P(z)", number(rows[0].log_prob if rows else None), number(best["log_prob"])),
        ("norm ratio", number(rows[0].norm_ratio if rows else None), number(best["norm_ratio"])),
        ("whiteness (p)", number(rows[0].whiteness if rows else None), number(best["whiteness"])),
    ]
    baseline = result.get("baseline")
    if baseline:
        how = "measured" if baseline["measured"] else "estimated"
        found.append((f"best of {baseline['queries']} prior draws ({how})", "", number(baseline["reward"])))
    spent = {
        "queries": result["queries"],
        "of them without a score": result["failed_queries"],
        "of them remembered": result["cached_queries"],
        "denoiser calls": result["nfe"],
        "cost at most": number(result["cost"]),
        **{f"seconds: {name}": number(value) for name, value in result["seconds"].items()},
    }
    pictures = [
        ("first.png", "candidate 0", first["reward"]),
        ("best.png", f"the winner, {best['id']}", best["reward"]),
    ]
    return page(
        str(result["prompt"] or result["model"]),
        [
            f"<h1>{title}</h1>",
            f'<p class="lead">{e(str(result["model"]))} · {e(str(result["strategy"]))} · seed {result["seed"]} · '
            f"{result['queries']} queries · {e(str(result['status']))}</p>",
            *(f'<p class="warn">{e(text)}</p>' for text in warnings),
            '<div class="pair">',
            *(
                f'<figure><img src="{_file(folder / name)}" alt="{e(text)}"><figcaption>{e(text)}: '
                f"{number(value)}</figcaption></figure>"
                for name, text, value in pictures
            ),
            "</div>",
            "<h2>What it found</h2>",
            table(("", "first", "best"), found),
            "<h2>The way there</h2>",
            f'<div class="strip"><img src="{_file(folder / "strip.png")}" alt="images on the way"></div>',
            f'<div class="wide"><img class="plot" src="{_file(folder / "progress.png")}" alt="course"></div>',
            "<h2>Was the reward bought?</h2>",
            "<p>A search that breaks the model leaves the Gaussian's typical set: log P falls, the norm leaves 1, the "
            "spectrum is not white. Held-out rewards were never optimised.</p>",
            f'<div class="wide"><img class="plot" src="{embedded(hacking_figure(rows))}" alt="plausibility"></div>',
            "<h2>What it cost</h2>",
            table(("", ""), [(name, str(value)) for name, value in spent.items()]),
            "<h2>To repeat it</h2>",
            f"<pre>zo-dno run config.yaml --out again\n\n# config.yaml\n{e(_yaml(config))}</pre>",
            f"<pre>{e(_yaml(result.get('versions') or {}))}</pre>",
        ],
    )


def _yaml(values: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _file(path: Path) -> str:
    return address(path.read_bytes()) if path.exists() else ""
