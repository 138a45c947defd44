"""What is saved of a figure: with a legend where it does not name its methods, and rows without what is for drawing."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from bench.board import charts
from bench.compare.analysis import across_tasks
from tests.board.charts.conftest import HOSTILE, Shown

DRAW = Path(charts.__file__).parents[1] / "report" / "assets" / "draw.js"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no node is installed here")


def run(expression: str, spec: Any) -> Any:
    """What an expression of the pages' script says of a specification."""
    script = (
        f"globalThis.window = globalThis; globalThis.bench = {{}};\n{DRAW.read_text()}\n"
        f"const spec = JSON.parse(require('fs').readFileSync(0)); console.log(JSON.stringify({expression}));"
    )
    done = subprocess.run([str(NODE), "-e", script], input=json.dumps(spec), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def svg(spec: Any) -> str:
    return vl_convert.vegalite_to_svg({**spec, "width": 500}, vl_version="6.4")


def test_figures_with_methods_on_an_axis_say_so(shown: Shown) -> None:
    tables = [shown.table, *(dataclasses.replace(shown.table, task=f"tofu:forget0{i}") for i in (1, 5))]
    found = [*shown.charts(), *charts.across(tables, across_tasks(tables)), charts.of_method("half", tables)[0]]
    for chart in (chart for chart in found if chart.spec):
        axes = {
            of.get("field") for layer in chart.spec["layer"] for name, of in layer["encoding"].items() if name in "xy"
        }
        assert chart.spec["usermeta"]["named"] == ("method" in axes), chart.name


@needs_node
def test_a_saved_figure_names_its_methods_once(shown: Shown, hostile: Shown) -> None:
    for name in ("erased-kept", "cost", "paths", "losses", "training-forget"):
        spec = shown.chart(name).spec
        assert ">half<" not in svg(spec)
        saved = svg(run("bench.alone(spec)", spec))
        symbols = [part.partition("</g>")[0] for part in saved.split("role-legend-symbol")[1:]]
        assert symbols and all(' opacity="1"' in symbol and "stroke=" in symbol for symbol in symbols), name
        assert saved.count(">half<") == saved.count(">ruin<") == 1 and ">method<" not in saved, name
    forest = shown.chart("forest").spec
    assert svg(run("bench.alone(spec)", forest)).count(">half<") == 1
    told = svg(run("bench.alone(spec)", hostile.chart("erased-kept").spec))
    assert "<script" not in told and f">{HOSTILE['ruin']}<" in told


@needs_node
def test_its_legend_is_opaque_and_hollow_where_marks_are(shown: Shown) -> None:
    """As drawn: of the legend's symbols only that of the method set apart is hollow, even if another is picked."""
    saved = svg(run("bench.alone(spec, ['half'])", shown.chart("erased-kept").spec))
    symbols = [part.partition("</g>")[0] for part in saved.split("role-legend-symbol")[1:]]
    names = [part.partition("</text>")[0].rpartition(">")[2] for part in saved.split("role-legend-label")[1:]]
    assert names == ["target", "retrain", "good", "half", "ruin"]
    assert [name for name, symbol in zip(names, symbols, strict=True) if ' fill="#' not in symbol] == ["ruin"]
    assert all(' opacity="1"' in symbol and "stroke=" in symbol for symbol in symbols)


@needs_node
def test_saved_rows_leave_out_what_is_for_drawing(shown: Shown) -> None:
    spec = shown.chart("heat").spec
    rows = run("bench.rows(spec)", spec)
    assert len(rows) == len(spec["data"]["values"]) and {"shade", "text"} < set(spec["data"]["values"][0])
    assert list(rows[0]) == ["row", "metric", "method", "value"] and rows[0]["row"] == "cell"
    assert run("bench.rows(spec)", {"data": {"values": [{"a": 1, "text": "b"}]}}) == [{"a": 1, "text": "b"}]
    assert run("bench.csv(bench.rows(spec))", spec).startswith("row,metric,method,value\ncell,headline,target,0\n")
