"""The folder of the report: templates filled, assets laid beside them, and only what changed written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from bench.board.charts.theme import INK, PAPER, SOFT
from bench.board.report import places
from bench.errors import BenchError
from bench.store.files import in_the_way

ASSETS = ("report.css", "answers.css", "draw.js", "report.js", "words.js", "answers.js", "pair.js", "live.js")


THEME = {INK: "var(--ink)", PAPER: "var(--paper)", SOFT: "var(--soft)"}
"""What stands for a colour of the scheme in a figure, and that colour in a style."""


@dataclass
class Folder:
    """The folder that a report is written into.

    Attributes:
        made: every file of the report, whether it was written now or was there as it is.
        changed: those that were written now.
    """

    root: Path
    made: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    def put(self, address: str, text: str) -> None:
        """Write a file of the report unless it holds this text already.

        Raises:
            BenchError: it cannot be written.
        """
        path, content = self.root / address, text.encode("utf-8", errors="backslashreplace")
        twice = address in self.made
        self.made.append(address)
        try:
            if path.is_file() and path.read_bytes() == content:
                return
            if twice:
                raise BenchError(f"two pages of the report would be {path}: rename what one of them is of.")
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not fsynced as results are: a report can be built again, and thousands of files are.
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_bytes(content)
            temporary.replace(path)
        except OSError as error:
            raise BenchError(
                f"cannot write {path}: {in_the_way(path.parent) or error.strerror}. Name another folder."
            ) from error
        self.changed.append(address)

    def render(self, address: str, template: str, **content: Any) -> None:
        """Write a page. Every template knows where it is and how to link from there."""
        root = places.up(address)
        self.put(address, _templates().get_template(template).render(root=root, **content))

    def remove(self, address: str) -> None:
        """Take away what an earlier report had and this one has not; nothing outside of the folder."""
        path = self.root / address
        try:
            if path.parent.resolve().is_relative_to(self.root.resolve()) and not path.is_dir():
                path.unlink(missing_ok=True)
        except (OSError, ValueError, RuntimeError):
            pass


def assets(folder: Folder) -> None:
    """Our styles and scripts, and the two libraries, which need no network."""
    for name in ASSETS:
        own = resources.files("bench.board.report") / "assets" / name
        folder.put(f"assets/{name}", own.read_text("utf-8"))
    folder.put("assets/vega.js", _drawing())
    bundle = resources.files("itables") / "html"
    # As text: a page that is read from a file may import no module, but one from memory.
    source = json.dumps(bundle.joinpath("dt_bundle.js").read_text("utf-8"))
    folder.put("assets/datatables.js", f"window.datatablesSource = {source};\n")


@cache  # it takes a second, and whoever follows a run builds again and again
def _drawing() -> str:
    """Vega, in a function, for its thousands of short names would be everybody's."""
    import vl_convert

    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed; window.vega = vega;")
    return f"(() => {{\n{bundle}\n}})();\n"


@cache
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("bench.board.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["places"] = places
    found.filters |= {"plain": lambda name: name.replace("_", " "), "data": plain, "interval": _interval,
                      "marked": _marked, "colour": lambda colour: THEME.get(colour, colour)}  # fmt: skip
    return found


def plain(content: Any) -> Markup:
    """JSON for an element or a script of its own; no text in it can end that or be taken for markup."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _interval(text: str, top: bool = False) -> Markup:
    """A number with its interval set apart, bold where nobody beats it."""
    parts = re.fullmatch(r"(\S+|\S+ \S+?) (\[[^\]]*\]|\(.*\))(?: (\(.*\)))?", text)
    value, ends, note = parts.groups() if parts else (text, "", "")
    said = f"<b>{escape(value)}</b>" if top else f"{escape(value)}"
    return Markup(said + "".join(f' <span class="ends">{escape(one)}</span>' for one in (ends, note) if one))


@cache
def _words() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("zero", {"html": False}).enable(["backticks", "emphasis", "escape"])


def _marked(text: str) -> Markup:
    """Words of the board with their emphasis and code; nothing else of Markdown, so that no name can become a link."""
    return Markup(_words().renderInline(text))
