"""The report of results with attacks: a section of a task's page, a line on its methods' pages, and nothing else."""

from __future__ import annotations

import re
import shutil
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from bench.board import robustness
from bench.board.report import places
from bench.board.report.site import MANIFEST
from bench.cli.main import main
from bench.compare.analysis import Rules
from bench.store import attacked
from bench.store.record import Cell
from tests.board import made_attacks
from tests.board.browser import browsing, draw_all, findings, needs_browser
from tests.board.report import conftest
from tests.board.report.conftest import METHODS, TASK
from tests.board.report.test_browser import DESK, PHONE, go
from tests.board.report.test_site import Page

EVIL = METHODS[-1]
RULES = Rules()


@pytest.fixture(scope="module")
def found(results, page, tmp_path_factory) -> SimpleNamespace:
    """The report of the same results after all of its methods were attacked."""
    folder = tmp_path_factory.mktemp("attacked")
    shutil.copytree(results, folder / "results")
    made_attacks.write(folder / "results", page.records, bare=[EVIL])
    made = conftest.built(folder / "results", folder / "page")
    (made.table,) = made.tables
    made.page, made.results = places.task_page(made.table), folder / "results"
    return made


def names(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {MANIFEST}


def text(path) -> str:
    return " ".join(Page(path).text.split())


def test_only_the_task_and_its_attacked_methods_say_it(page, found) -> None:
    """Not a byte of any other page: no cell's, no pair's, not the start, nor those of target and retrain."""
    assert names(page.folder) == names(found.folder)
    changed = {n for n in names(page.folder) if (page.folder / n).read_bytes() != (found.folder / n).read_bytes()}
    assert changed == {found.page, *(places.method_page(method) for method in ("fo-npo", EVIL))}
    assert not any(robustness.HEAD in Page(path).text for path in page.folder.rglob("*.html"))


def test_attacks_that_are_gone_leave_no_byte(results, page, found, tmp_path) -> None:
    shutil.copytree(found.folder, tmp_path / "page")
    again = conftest.built(results, tmp_path / "page")
    assert all((page.folder / name).read_bytes() == (again.folder / name).read_bytes() for name in names(page.folder))


def test_a_page_is_made_again_when_attacks_are_added(found, tmp_path) -> None:
    """When another seed is attacked, and not when nothing has changed."""
    shutil.copytree(found.results, tmp_path / "results")
    attacked.path(tmp_path / "results", Cell(TASK, EVIL, "tiny", "embedded", 1)).unlink()
    before = conftest.built(tmp_path / "results", tmp_path / "page")
    old = (before.folder / found.page).read_bytes()
    assert conftest.built(tmp_path / "results", tmp_path / "page").built.written == 0
    made_attacks.write(tmp_path / "results", before.records, bare=[EVIL], wanted=lambda cell: cell.method == EVIL)
    again = conftest.built(tmp_path / "results", tmp_path / "page")
    assert (again.folder / found.page).read_bytes() == (found.folder / found.page).read_bytes() != old


def test_it_says_what_the_board_says(found) -> None:
    said = text(found.folder / found.page)
    assert robustness.HEAD in said and robustness.sentence(found.table, RULES) in said
    for row in robustness.most(found.table):
        excess, share = robustness.excess(row), robustness.share(row)
        assert row.label in said and robustness.name(row) in said
        assert excess in said and share in said
    for name, of in robustness.lines(found.table):
        assert name in said
        assert all(robustness.excess(row) in said for row in of if row.excess is not None and not row.weak)
    for attack, about in made_attacks.ATTACKS.items():
        assert attack == "plain" or about["doc"] in said
    assert "related facts, nothing" in said, "what each line of an attack injects"
    assert "Ask the bare weights, without what is attached." in said and "taking the hooks off" in said


def test_what_was_planted_is_found(found) -> None:
    """fo-npo comes back by being taught; of the other the bare weights are the target."""
    most = {row.label: (row.line.attack, row.line.name.partition(",")[0]) for row in robustness.most(found.table)}
    assert most["fo-npo"] in (("relearning", made_attacks.PART), ("leak", ""))
    assert set(most) == {"fo-npo", EVIL, f"{EVIL}, hooks off"}
    assert re.search(r"shown by a corrected test, of .*fo-npo", robustness.sentence(found.table, RULES))


def test_controls_and_what_says_nothing_are_marked_and_explained(found) -> None:
    raw, said = (found.folder / found.page).read_text("utf-8"), text(found.folder / found.page)
    section = raw[raw.index('id="attacks"') : raw.index("Who attacks")]
    (control,) = re.findall(r'<tr class="apart"><th scope="row">(.*?)</th>', section)
    assert control == "hints: another author (control)"
    assert "Controls, in grey and last" in said
    assert "the target itself knows 0.20 when it is asked so: riddle." in said
    assert "costs more than 10% of what is kept, wherever it is read: burning." in said
    (riddle,) = re.findall(r'<tr><th scope="row">riddle</th>.*?</tr>', section, re.DOTALL)
    assert riddle.count('title="the target itself knows 0.20') == 3 and riddle.count("(+0.") + riddle.count("(-0.") == 3
    (burning,) = re.findall(r'<tr><th scope="row">burning</th>.*?</tr>', section, re.DOTALL)
    assert burning.count(">ruined<") == 3


def test_it_says_how_fast_answers_come_back_of_attacks_in_steps_alone(found) -> None:
    """Seven tenths are known after four steps of the part that was given; of the rest half of the gap is not back. With
    the hooks off all is there before any step."""
    raw = (found.folder / found.page).read_text("utf-8")
    section = raw[raw.index("How fast it comes back") : raw.index("Who attacks")]
    told = re.findall(r'<th scope="row">([^<]*)</th><td>.*?</svg>\s*([^<]*)</td>\s*(.*?)</tr>', section, re.DOTALL)
    assert {name.partition(":")[0] for name, _, _ in told} == {"relearning"} and len(told) == 4 * 3
    numbers = {(name, label): re.findall(r">([^<>]+)", cells)[0] for name, label, cells in told}
    part, unrelated = f"relearning: {made_attacks.PART}, all weights", "relearning: unrelated, all weights"
    assert numbers[part, "fo-npo"] == "4" and numbers[unrelated, "fo-npo"] == "&gt; 4"
    assert numbers[part, f"{EVIL}, hooks off".replace("<", "&lt;").replace(">", "&gt;")] == "0"
    for row in found.table.attacks:
        assert row.speed is None or robustness.area(row).split()[0] in section


def test_a_method_says_what_brings_back_most_and_where(found) -> None:
    """With the hooks off a line of its own; target and retrain say nothing, nor does a cell."""
    for method, count in (("fo-npo", 1), (EVIL, 2), ("target", 0), ("retrain", 0)):
        one = Page(found.folder / places.method_page(method))
        links = [of["href"] for tag, of in one.tags if tag == "a" and (of.get("href") or "").endswith("#attacks")]
        assert len(links) == count
        for link in links:
            assert ((found.folder / "method") / unquote(link.partition("#")[0])).resolve() == (
                found.folder / found.page
            ).resolve()
    row = next(row for row in robustness.most(found.table) if row.label == "fo-npo")
    said = text(found.folder / places.method_page("fo-npo"))
    assert f"most comes back by {robustness.name(row)}: excess {robustness.excess(row)}" in said
    assert "hooks off, most comes back by" in text(found.folder / places.method_page(EVIL))


def test_figures_are_there_of_what_was_attacked_and_of_nothing_else(found, page, tmp_path) -> None:
    def drawn(made, address: str) -> list[str]:
        return [name for name in re.findall(r'data-name="([\w-]+)"', (made.folder / address).read_text("utf-8"))
                if name.startswith("attack-")]  # fmt: skip

    assert drawn(found, found.page) == ["attack-steps-1", "attack-steps-2", "attack-layer-1", "attack-k-1"]
    shutil.copytree(found.results, tmp_path / "results")
    made_attacks.write(tmp_path / "results", found.records, ("hints",))
    fewer = conftest.built(tmp_path / "results", tmp_path / "page")
    assert drawn(fewer, found.page) == [] and robustness.HEAD in text(fewer.folder / found.page)
    assert drawn(page, found.page) == []


@needs_browser
@pytest.mark.parametrize("width", [DESK, PHONE])
def test_it_opens_and_nothing_goes_wrong(browser, found, width) -> None:
    with browsing(browser, width) as tab:
        for address in (found.page, places.method_page(EVIL)):
            go(tab, found, address)
            draw_all(tab)
            assert tab.wrong == []
            assert tab.evaluate("document.body.dataset.hacked") is None
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, "nothing is off the screen"
            assert tab.locator("h1").count() == 1


@needs_browser
@pytest.mark.parametrize(("scheme", "width"), [("light", DESK), ("dark", PHONE)])
def test_axe_finds_nothing_serious(browser, found, scheme, width) -> None:
    with browsing(browser, width, color_scheme=scheme) as tab:
        go(tab, found, found.page)
        draw_all(tab)
        tab.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert findings(tab, "#attacks") == []


@needs_browser
def test_its_tables_sort_and_a_picked_method_stands_out_in_them(browser, found) -> None:
    with browsing(browser, DESK) as tab:
        go(tab, found, found.page)
        draw_all(tab)
        table = tab.locator("#attacks table.board").nth(1)
        head = table.locator("th", has_text=re.compile(r"^\s*fo-npo\s*$"))
        at = head.evaluate("(one) => one.cellIndex + 1")
        head.click()
        tab.wait_for_timeout(300)
        order = table.locator(f"tbody tr td:nth-child({at})").evaluate_all("of => of.map((one) => +one.dataset.order)")
        assert order == sorted(order) and len(order) == len(robustness.lines(found.table))
        tab.locator("button.chip[data-method='fo-npo']").click()
        assert [tab.locator(f"#attacks table.board >> nth={n} >> tr.picked").count() for n in range(3)] == [1, 0, 4]
        own = "bench.figures.filter(({ element }) => element.closest('#attacks'))"
        assert tab.evaluate(f"{own}.map(({{ view }}) => view.signal('picked'))") == [["fo-npo"]] * 4


def test_show_has_a_line_an_attack_of_the_cell_s_method(found, results, capsys) -> None:
    """Of each attack what brings back most, as on the board; of target and retrain nothing, nor without attacks."""

    def shown(method: str, folder) -> list[str]:
        assert main(["show", f"{TASK}/{method}/tiny/embedded/0", "--results", str(folder)]) == 0
        lines = capsys.readouterr().out.splitlines()
        at = [n for n, line in enumerate(lines) if line.startswith("attacks on the method, seeds 0, 1")]
        return lines[at[0] + 1 : lines.index("", at[0])] if at else []

    lines = shown("fo-npo", found.results)
    rows = [row for row in found.table.attacks if row.method == "fo-npo"]
    assert [line.split(":")[0].split()[0] for line in lines[:3]] == ["leak", "relearning", "logit-lens"]
    for line, row in zip(lines, robustness.most_by_attack(rows), strict=False):
        assert line.startswith(f"  {robustness.name(row)} ") and robustness.cell(row, RULES) in line
    area = robustness.area(robustness.most_by_attack(rows)[1])
    assert lines[1].endswith(f"; half back after 4 steps, of retrain > 4; area {area}")
    assert not any("half back" in line for line in (lines[0], *lines[2:]))
    assert lines[-1] == "  nothing can be said by burning, riddle" and len(lines) == 5
    assert shown("target", found.results) == shown("retrain", found.results) == shown("fo-npo", results) == []
    assert any("hooks off" in line for line in shown(EVIL, found.results))
