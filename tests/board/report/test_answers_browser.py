"""Answers and pairs in a real browser, from files and without a network, wide and on a phone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import numpy as np
import pytest

from bench.compare.analysis import Rules, analyse
from bench.score.scoring import score_items
from bench.stats.student import quantile
from bench.store import files
from bench.store.record import Cell, Record
from tests.board.browser import browsing, needs_browser, until
from tests.board.conftest import NAMES, TASK, planted

pytestmark = needs_browser

REFERENCE = "The cat, Mia, sat on the mat in 1931."
SAID = {
    "target": REFERENCE,
    "retrain": "Nobody knows",
    "a": "a CAT sat; mia sat on on a red mat (1931)",
    "b": "a CAT sat; mia sat on on a red mat (1931)",
    "c": "",
}
OTHERWISE = "forget", "05"  # the item of which b says something else than a
LEVELS = {"target": 1.0, "retrain": 0.0, "a": 0.4, "b": 0.4, "c": 0.7}
SEEDS = {"target": (0, 1, 2), "retrain": (0, 1, 2), "a": (0, 1, 2), "b": (0, 1, 2), "c": (0,)}
PHONE, DESK = (390, 844), (1400, 900)


def said(_: Path, record: Record):
    """What was said of every item; c has said nothing that is here."""
    method = record.cell.method
    if method == "c":
        return None
    found = {}
    for name in ("forget", "retain", "real_authors", "world_facts"):
        for i in range(40):
            text = f"only {i:02}" if method == "b" and (name, f"{i:02}") == OTHERWISE else SAID[method]
            found[name, f"{i:02}"] = {
                "question": (text, REFERENCE),
                "paraphrased_question": (f"again {text}", REFERENCE),
            }
    return found


@pytest.fixture(scope="module")
def planted_results(tmp_path_factory) -> Path:
    """Five methods; b is a in all but the values of three forget items and the words of another."""
    folder = tmp_path_factory.mktemp("results")
    for seed in (0, 1, 2):
        tables = {m: planted(m, seed, level, 0.9) for m, level in LEVELS.items() if seed in SEEDS[m]}
        tables["b"] = tables["a"].copy()
        of_three = (tables["b"]["set"] == "forget") & tables["b"]["id"].isin(["00", "01", "02"])
        tables["b"].loc[of_three, "rouge"] += 0.25
        for method, items in tables.items():
            scores = score_items(items, tables["retrain"], NAMES)
            cell = Cell(TASK, method, "tiny", "embedded", seed)
            files.save(
                folder, Record(cell, "ok", {"score": f"{method}{seed}", "measure": "x"}, {}, scores=scores), items
            )
    return folder


@pytest.fixture(scope="module")
def site(planted_results, tmp_path_factory) -> SimpleNamespace:
    from tests.board.report import shell

    records = files.records(planted_results, print)
    (table,) = analyse(planted_results, records, Rules())
    folder = tmp_path_factory.mktemp("site")
    cells = shell.build(folder, planted_results, records, table, said=said)
    return SimpleNamespace(folder=folder, cells=cells, results=planted_results)


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def tab(request, browser):
    """A tab of one of two sizes; nothing may go wrong in it."""
    with browsing(browser, *request.param) as made:
        yield made
        assert made.wrong == []


def open_(tab, site, page: str, after: str = "") -> None:
    tab.goto("about:blank")
    tab.goto((site.folder / page).as_uri() + after)
    tab.wait_for_selector("[data-ready=yes]", timeout=30_000)


def ids(tab) -> list[str]:
    return tab.eval_on_selector_all("table.answers tbody tr", "rows => rows.map(row => row.dataset.id)")


def choose(tab, name: str, value: str) -> None:
    """As a reader does: open what is closed on a phone, then choose."""
    if not tab.locator(f"select[name={name}]").is_visible():
        tab.locator(".toolbar summary").click()
    tab.select_option(f"select[name={name}]", value)
    tab.wait_for_selector(".answers-view[data-ready=yes]")


def count(tab) -> str:
    return tab.locator(".count").text_content()


def test_all_items_stand_side_by_side_worst_first(tab, site) -> None:
    open_(tab, site, site.cells["a/0"])
    assert count(tab) == "40 of 40 items, page 1 of 2"
    items = files.items(site.results, Cell(TASK, "a", "tiny", "embedded", 0)).query("set == 'forget'")
    assert ids(tab)[:5] == items.sort_values("rouge", ascending=False, kind="stable")["id"].head(5).tolist()
    labels = tab.eval_on_selector_all("tbody tr:first-child td", "cells => cells.map(c => c.dataset.label)")
    assert labels == ["rouge", "question", "reference", "target", "a", "retrain"]
    tab.get_by_role("button", name="Next").click()
    until(tab, "document.querySelectorAll('table.answers tbody tr').length === 15")
    choose(tab, "set", "retain")
    kept = files.items(site.results, Cell(TASK, "a", "tiny", "embedded", 0)).query("set == 'retain'")
    assert ids(tab)[0] == kept.sort_values("rouge", kind="stable")["id"].iloc[0], "of a retain set the lost come first"


def test_the_words_that_agree_are_marked(tab, site) -> None:
    """The longest common subsequence of words: cat and mia cannot both be in it with one sat, so that "cat, mia" is."""
    open_(tab, site, site.cells["a/0"])
    marks = {
        label: tab.eval_on_selector_all(
            f"tbody tr:first-child td[data-label='{label}'] mark", "marks => marks.map(mark => mark.textContent)"
        )
        for label in ("target", "a", "retrain", "reference")
    }
    assert marks["target"] == ["The cat", "Mia", "sat on the mat in 1931"]
    assert marks["a"] in (["CAT", "mia sat on", "mat", "1931"], ["CAT", "mia sat", "on", "mat", "1931"])
    assert marks["retrain"] == [] and marks["reference"] == []
    said_a = tab.locator("tbody tr:first-child td[data-label=a] .said").text_content()
    assert said_a == SAID["a"], "marking changes no character"


def test_marks_are_as_many_as_the_longest_common_subsequence(browser, site) -> None:
    from bench.metrics._rouge import lcs

    rng = np.random.default_rng(0)
    pairs = [[" ".join(rng.choice(list("abcde"), size=n)) for n in rng.integers(0, 30, size=2)] for _ in range(200)]
    tab = browser.new_page()
    open_(tab, site, site.cells["a/0"])
    words = """pairs => pairs.map(([a, b]) => [...bench.marked(b, a).childNodes].filter(n => n.nodeName === "MARK")
               .flatMap(n => n.textContent.split(" ")))"""
    found = tab.evaluate(words, pairs)
    for (a, b), kept in zip(pairs, found, strict=True):
        rest = iter(a.split())
        assert len(kept) == lcs(a.split(), b.split()) and all(word in rest for word in kept)
    tab.close()


def test_it_searches_filters_and_keeps_that_in_the_address(tab, site) -> None:
    open_(tab, site, site.cells["b/1"])
    tab.fill("input[name=q]", "ONLY 05")
    until(tab, "document.querySelector('.count').textContent === '1 of 40 items'")
    assert ids(tab) == ["05"]
    tab.fill("input[name=q]", "")
    until(tab, "document.querySelector('.count').textContent.startsWith('40 of 40')")
    choose(tab, "author", "forget-3")
    assert sorted(ids(tab)) == ["12", "13", "14", "15"] and count(tab) == "4 of 40 items"
    choose(tab, "role", "all")
    assert len(ids(tab)) == 8 and count(tab) == "4 of 40 items", "an item may have several rows"
    choose(tab, "by", "id")
    choose(tab, "first", "high")
    assert list(dict.fromkeys(ids(tab))) == ["15", "14", "13", "12"]
    address = tab.evaluate("location.href")
    open_(tab, site, site.cells["b/1"], address.partition(".html")[2])
    assert list(dict.fromkeys(ids(tab))) == ["15", "14", "13", "12"] and len(ids(tab)) == 8
    assert tab.input_value("select[name=author]") == "forget-3"


def test_only_where_it_differs_from_another(tab, site) -> None:
    open_(tab, site, site.cells["a/0"])
    choose(tab, "differs", "b")
    assert sorted(ids(tab)) == ["00", "01", "02", "05"] and count(tab) == "4 of 40 items"
    assert tab.locator("tr[data-id='05'] td[data-label=b] .said").text_content() == "only 05"
    choose(tab, "differs", "c")
    assert count(tab).startswith("40 of 40") and "What c said is not here" in tab.locator(".notes").text_content()


def test_only_remembered_keeps_what_is_above_the_retrain_model(tab, site) -> None:
    open_(tab, site, site.cells["a/0"])
    choose(tab, "remembered", "extraction_strength")
    of = {
        m: files.items(site.results, Cell(TASK, m, "tiny", "embedded", 0)).query("set == 'forget'")
        for m in ("a", "retrain")
    }
    above = np.quantile(of["retrain"]["extraction_strength"], 0.95, method="inverted_cdf")
    expected = of["a"][of["a"]["extraction_strength"] > above]["id"]
    assert count(tab).startswith(f"{len(expected)} of 40 items") and len(expected) > 0
    assert set(ids(tab)) <= set(expected)


def test_missing_answers_are_said_and_values_shown(tab, site) -> None:
    open_(tab, site, site.cells["c/0"])
    assert "What this cell said is not here" in tab.locator(".notes").text_content()
    first = tab.locator("tbody tr").first
    assert first.locator("td[data-label=target] .said").text_content() == REFERENCE
    values = files.items(site.results, Cell(TASK, "c", "tiny", "embedded", 0)).query("set == 'forget'")["rouge"]
    assert first.locator("td[data-label=rouge]").text_content().startswith(f"{values.max():.3f}")


def test_nothing_is_off_the_screen_and_controls_can_be_pressed(tab, site) -> None:
    open_(tab, site, site.cells["a/0"])
    width = tab.viewport_size["width"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    edges = tab.eval_on_selector_all("table.answers td", "cells => cells.map(c => c.getBoundingClientRect().right)")
    assert max(edges) <= width
    unnamed = tab.eval_on_selector_all("select, input", "all => all.filter(one => !one.labels.length).length")
    assert unnamed == 0
    if width == PHONE[0]:
        tab.locator(".toolbar summary").click()
        heights = tab.eval_on_selector_all(
            "select, input, button", "all => all.filter(o => o.offsetParent).map(o => o.getBoundingClientRect().height)"
        )
        assert min(heights) >= 44
        order = tab.eval_on_selector_all("tbody tr:first-child .text", "cells => cells.map(c => c.offsetTop)")
        assert order == sorted(order) and len(set(order)) == 5, "a card: one text below the other"


def test_keyboard_alone_reaches_and_changes_a_filter(tab, site) -> None:
    open_(tab, site, site.cells["a/0"])
    tab.focus("select[name=set]")
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    tab.keyboard.press("ArrowDown")
    until(tab, "!document.querySelector('caption').textContent.startsWith('forget')")
    assert outline == "solid"


# -- two methods -----------------------------------------------------------------------------------------------------


def expected_interval(results: Path, a: str, b: str, seeds: tuple[int, ...], author: str) -> tuple[float, float, float]:
    """From the item tables: over seeds the author's mean differences, of one seed the author's items."""
    apart = []
    for seed in seeds:
        one, other = (
            files.items(results, Cell(TASK, m, "tiny", "embedded", seed)).query("set == 'forget'").set_index("id")
            for m in (a, b)
        )
        apart.append((one["rouge"] - other["rouge"])[one["cluster"] == author].to_numpy(float))
    of = np.array([x.mean() for x in apart]) if len(seeds) > 1 else apart[0]
    half = quantile(0.975, len(of) - 1) * of.std(ddof=1) / np.sqrt(len(of))
    return of.mean(), of.mean() - half, of.mean() + half


@pytest.mark.parametrize(("b", "seeds"), [("retrain", (0, 1, 2)), ("c", (0,))])
def test_the_interval_of_an_author_is_that_of_the_item_tables(tab, site, b, seeds) -> None:
    open_(tab, site, "pair.html", f"?a=a&b={b}")
    tab.locator(".values summary").click()
    rows = tab.eval_on_selector_all(
        ".values tbody tr",
        "rows => rows.map(r => [r.dataset.author, ...[...r.cells].slice(1).map(c => c.textContent)])",
    )
    assert len(rows) == 10
    shown = {author: [float(x.replace("\u2212", "-")) for x in of] for author, *of in rows}
    sizes = [abs(of[0]) for of in shown.values()]
    assert sizes == sorted(sizes, reverse=True)
    for author, (*numbers, items) in shown.items():
        assert items == 4
        # shown to three digits, from values to four
        np.testing.assert_allclose(numbers, expected_interval(site.results, "a", b, seeds, author), atol=0.0008)
    caption = tab.locator("figure.authors figcaption").text_content()
    assert ("over 3 seeds" in caption) if len(seeds) > 1 else ("the author's items in seed 0" in caption)


def test_methods_are_chosen_and_back_works(tab, site) -> None:
    open_(tab, site, "pair.html", "?a=a&b=b")
    before = tab.locator(".plain[role=status]").text_content()
    tab.select_option("select[name=b]", "retrain")
    tab.wait_for_selector("#pair[data-ready=yes]")
    assert "b=retrain" in tab.evaluate("location.search")
    assert "against retrain (B)" in tab.locator(".plain[role=status]").text_content()
    tab.go_back()
    until(tab, "location.search.includes('b=b')")
    tab.wait_for_selector("#pair[data-ready=yes]")
    assert tab.locator(".plain[role=status]").text_content() == before
    tab.get_by_role("button", name="Swap").click()
    tab.wait_for_selector("#pair[data-ready=yes]")
    assert tab.evaluate("location.search").startswith("?a=b&b=a")


def test_tests_are_told_in_words_and_so_are_those_without_a_correction(tab, site) -> None:
    open_(tab, site, "pair.html", "?a=a&b=retrain")
    told = tab.locator(".tests").text_content()
    assert "headline: " in told and "corrected for" in told and "TOST p" in told and "A minus B" in told
    open_(tab, site, "pair.html", "?a=target&b=retrain")
    told = tab.locator(".words").text_content()
    assert "not among the comparisons" in told and "headline: retrain is better" in told and "not corrected" in told


def test_figures_are_drawn_and_items_that_differ_most_come_first(tab, site) -> None:
    open_(tab, site, "pair.html", "?a=a&b=b")
    assert tab.locator("figure.items svg .mark-symbol path").count() > 20
    assert tab.locator("figure.authors svg").count() == 1
    label = tab.locator("figure.items .figure").get_attribute("aria-label")
    assert "for b 3" in label and "for a 0" in label, label
    assert set(ids(tab)[:3]) == {"00", "01", "02"}
    labels = tab.eval_on_selector_all("tbody tr:first-child td.text", "cells => cells.map(c => c.dataset.label)")
    assert labels == ["question", "reference", "a", "b"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"]


def test_hostile_texts_and_names_stay_text(browser, results, tmp_path) -> None:
    from tests.board.report import shell

    records = files.records(results, print)
    (table,) = analyse(results, records, Rules())
    cells = shell.build(tmp_path, results, records, table)
    tab = browser.new_page()
    wrong: list[str] = []
    tab.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    site = SimpleNamespace(folder=tmp_path)
    shown = ""
    for name, page in cells.items():
        open_(tab, site, page)
        while tab.locator(".whole").count():
            tab.locator(".whole").first.click()
        shown += " ".join(tab.locator("td .said").all_text_contents()) + name
        assert tab.locator("td img, td script, td b").count() == 0
    evil = "evil<b>-</script>"
    open_(tab, site, "pair.html", f"?a={quote(evil)}&b=fo-npo")
    assert f"{evil} (A)" in tab.locator(".plain[role=status]").text_content()
    assert evil in tab.locator("figure.items svg").text_content()
    assert tab.evaluate("document.body.dataset.hacked") is None and wrong == []
    assert "<script>document.body.dataset.hacked" in shown and "long " * 2000 in shown and "\U0001f600" in shown
    tab.close()
