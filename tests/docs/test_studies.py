"""The tables of studies in docs/ are what their script makes of results/."""

from __future__ import annotations

from tests.e2e.conftest import ROOT
from tests.statistics.conftest import script


def test_the_pages_are_up_to_date() -> None:
    made = script("studies")
    known = made.found(ROOT / "results")
    pages = [page for page in made.PAGES.glob("*.md") if made.PLACE.search(page.read_text(encoding="utf-8"))]
    assert pages
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert made.rewritten(text, known) == text, f"{page.name} is out of date. Type: python docs/studies.py"
