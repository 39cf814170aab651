"""The report of a cleaning run: what was removed, why, samples, plots; JSON and one HTML page."""

import base64
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Cleaning report</title>
<style>
body {font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222}
table {border-collapse: collapse} td, th {padding: .2rem .8rem; border-bottom: 1px solid #ccc;
text-align: left} td.n {text-align: right} code {background: #f2f2f2; overflow-wrap: anywhere}
img {max-width: 100%}
</style>
<h1>Cleaning report</h1>
<p>{{ "{:,}".format(r.n_kept) }} of {{ "{:,}".format(r.n_documents) }} documents are kept,
{{ "{:.2f}".format(r.bytes_kept / 1e6) }} MB of text; {{ "{:,}".format(r.n_files) }} files of
{{ "{:.2f}".format(r.bytes_read / 1e6) }} MB were read.
{% if r.ignored %}Files of other kinds, not read: {% for suffix, n in r.ignored.items() -%}
{{ n }} {{ suffix }}{{ ", " if not loop.last }}{%- endfor %}.{% endif %}</p>
{% for picture, alt in pictures %}<p><img alt="{{ alt }}"
src="data:image/png;base64,{{ picture }}"></p>
{% endfor %}
<h2>What was removed, and why</h2>
{% if removed %}<table><tr><th>reason</th><th>documents</th><th>share</th></tr>
{% for why, n in removed %}<tr><td>{{ why }}</td><td class="n">{{ "{:,}".format(n) }}</td>
<td class="n">{{ "{:.1%}".format(n / r.n_documents) }}</td></tr>
{% endfor %}</table>
<h2>Samples</h2>
<p>The beginnings of a few removed documents. Personal data is masked.</p>
{% for why, samples in r.samples.items() %}<h3>{{ why }}</h3><ul>
{% for s in samples %}<li>{{ s.id }}{% if s.of %}, like {{ s.of }}{% endif %}:
<code>{{ s.text }}</code></li>
{% endfor %}</ul>
{% endfor %}{% else %}<p>Nothing.</p>{% endif %}
<h2>Personal data replaced</h2>
{% if r.masked %}<ul>{% for kind, n in r.masked.items() %}<li>{{ kind }}: {{ n }}</li>
{% endfor %}</ul>{% else %}<p>None.</p>{% endif %}
<h2>What could not be read</h2>
{% if r.problems %}<ul>{% for p in r.problems %}<li>{{ p.kind }}: {{ p.message }}</li>
{% endfor %}</ul>{% else %}<p>Everything could be read.</p>{% endif %}
<h2>Settings</h2><ul>{% for name, value in r.config.items() %}<li>{{ name }}: {{ value }}</li>
{% endfor %}</ul></html>
"""


def write_report(report: dict[str, Any], out: Path, lengths: Sequence[int]) -> None:
    """Write report.json and report.html.

    Args:
        report: what `clean_folder` counted.
        out: folder of both.
        lengths: characters of each document that is kept.
    """
    _replace(out / "report.json", json.dumps(report, indent=1, ensure_ascii=True) + "\n")
    removed = sorted(report["removed"].items(), key=lambda pair: (-pair[1], pair[0]))
    pictures = [_reasons(report, removed), *([_lengths(lengths)] if lengths else [])]
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(PAGE)
    samples = {why: [{"of": "", **s} for s in found] for why, found in report["samples"].items()}
    page = template.render(r=report | {"samples": samples}, removed=removed, pictures=pictures)
    _replace(out / "report.html", page)


def summary(report: dict[str, Any]) -> str:
    """The report in a few lines for the terminal."""
    lines = [
        f"kept {report['n_kept']:,} of {report['n_documents']:,} documents, "
        f"{report['bytes_kept'] / 1e6:.2f} MB of text from {report['n_files']:,} files"
    ]
    ranked = sorted(report["removed"].items(), key=lambda pair: (-pair[1], pair[0]))
    lines += [f"{n:>9,}  {why}" for why, n in ranked]
    if report["masked"]:
        lines.append("masked: " + ", ".join(f"{n} {k}" for k, n in report["masked"].items()))
    lines += [f"not read: {problem['message']}" for problem in report["problems"][:10]]
    if (more := len(report["problems"]) - 10) > 0:
        lines.append(f"not read: {more} more, see the report")
    return "\n".join(lines)


def _reasons(report: dict[str, Any], removed: list[tuple[str, int]]) -> tuple[str, str]:
    """Bars: kept, and removed by reason."""
    shown = [("kept", report["n_kept"]), *removed[:15]]
    figure, axes = _figure(0.5 + 0.3 * len(shown))
    bars = axes.barh([why for why, _ in shown], [n for _, n in shown])
    bars[0].set_hatch("//")
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel("documents")
    told = "; ".join(f"{why}: {n}" for why, n in shown)
    return _png(figure), f"Documents kept, and removed by reason. {told}."


def _lengths(lengths: Sequence[int]) -> tuple[str, str]:
    """How long the documents are that stay, on a logarithmic scale."""
    import numpy as np

    figure, axes = _figure(2.4)
    edges = np.geomspace(1, max(10, max(lengths)) * 1.01, 30)
    axes.hist(np.maximum(lengths, 1), bins=edges)
    axes.set(xscale="log", xlabel="characters of a document that is kept", ylabel="documents")
    middle = int(np.median(lengths))
    return _png(figure), f"Lengths of the documents that are kept; the median is {middle:,}."


def _figure(height: float) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), layout="constrained")
    return figure, figure.subplots()


def _png(figure: Any) -> str:
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=110)
    return base64.b64encode(raw.getvalue()).decode()


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
