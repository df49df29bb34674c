from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from jinja2 import Environment, PackageLoader, StrictUndefined

from ray_study.analyze import flip_choice
from ray_study.analyze.flip_choice import FOLDED_FROM, ITEMS_A_PAGE, WHOLE_CHARACTERS, choose, file_stem, shown
from ray_study.analyze.flip_pages import Bounds, FlipIndex, write_flips
from ray_study.analyze.flip_pairs import compared, default_pairs
from ray_study.analyze.study_tables import ScoredAttempts, StudyTables
from ray_study.rows import GradedAttempt

MakeStudy = Callable[..., StudyTables]
EVIL = "</pre></style></title><script>alert(1)</script><img src=x onerror=alert(1)><a href='javascript:alert(1)'>x</a>\" onclick=\"alert(1)"


def render_section(index: FlipIndex) -> str:
    """The report's section on flips."""
    loader = PackageLoader("ray_study.analyze", "page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template("flips.html").render(s={"index": index})


class Page(HTMLParser):
    """What a browser would see: the tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.style = ""
        self._in_style = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.style += data
        else:
            self.text += data

    def links(self) -> list[str]:
        return [value for _, name, value in self.attributes if name in ("href", "src", "action", "srcset", "formaction")]


def changed(study: StudyTables, change: Callable[[int, GradedAttempt], GradedAttempt]) -> StudyTables:
    cells = [replace(cell, attempts=tuple(change(number, each) for number, each in enumerate(cell.attempts))) for cell in study.attempts]
    return replace(study, attempts=cells)


def pages_of(directory: Path) -> dict[str, Page]:
    return {path.name: Page(path.read_text(encoding="utf-8")) for path in sorted((directory / "flips").glob("*.html"))}


@pytest.fixture
def small(make_study: MakeStudy) -> StudyTables:
    return make_study(benchmarks=("math-500", "advbench"), steps=(0, 640), num_items=30)


def test_every_link_leads_somewhere_and_nothing_needs_a_script_or_a_network(small: StudyTables, tmp_path: Path) -> None:
    index = write_flips(tmp_path, small, [])
    pages = pages_of(tmp_path)
    assert index.path == tmp_path / "flips" / "index.html"
    assert len(pages) == index.num_pages > 5
    reached = {"index.html"}
    for name, page in pages.items():
        assert not {"script", "link", "iframe", "object", "form", "base"} & set(page.tags), name
        policy = [value for tag, key, value in page.attributes if (tag, key) == ("meta", "content") and "default-src" in value]
        assert len(policy) == 1, name
        assert "default-src 'none'" in policy[0]
        assert "script-src" not in policy[0]
        for link in page.links():
            if link == "../index.html":
                continue  # The report's own page, which is written after these.
            assert link.startswith("data:image/svg+xml;base64,") or (tmp_path / "flips" / link).exists(), (name, link)
            reached.add(link)
    assert set(pages) <= reached, "a page that nothing leads to"
    section = Page(render_section(index))
    assert section.links()
    assert all(link.startswith("data:image") or (tmp_path / link).exists() for link in section.links())


def test_nothing_that_a_model_or_a_name_says_is_live(small: StudyTables, tmp_path: Path) -> None:
    """Trap O5."""

    def poison(_: int, each: GradedAttempt) -> GradedAttempt:
        return replace(each, text=EVIL, problem_id=f"{each.problem_id}{EVIL}", answer=EVIL, explanation=EVIL, details=EVIL)

    study = changed(small, poison)
    study = replace(
        study,
        runs=[replace(run, name=EVIL, dataset=f"{run.dataset}{EVIL}", model=EVIL) for run in study.runs],
        benchmarks=[replace(card, benchmark=f"{card.benchmark}/../../{EVIL}") for card in study.benchmarks],
        attempts=[replace(cell, benchmark=f"{cell.benchmark}/../../{EVIL}") for cell in study.attempts],
        facts=dict(study.facts) | {"name": EVIL},
    )
    index = write_flips(tmp_path, study, [])
    pages = pages_of(tmp_path) | {"section": Page(render_section(index))}
    assert len(pages) > 5
    for name, page in pages.items():
        assert not {"script", "iframe", "object"} & set(page.tags), name
        assert not any(key.startswith("on") for _, key, _ in page.attributes), name
        assert not any("javascript" in link for link in page.links()), name
        assert [tag for tag in page.tags if tag == "img"] == ["img"] * sum(tag == "img" and key == "alt" for tag, key, _ in page.attributes)
        assert "alert" not in page.style, name
        assert "alert(1)</script>" in page.text, "shown as the text that it is"
    items = [page for name, page in pages.items() if ".right-to-wrong." in name]
    assert items
    assert all(page.text.count(EVIL) >= 8 for page in items)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/root", "..", "a/b\\c", "x" * 500, "\x00", "наука", "con.html?q=<b>", ""])
def test_no_name_leaves_the_folder(name: str) -> None:
    stem = file_stem(7, name)
    assert re.fullmatch(r"0007(-[a-z0-9-]+)?", stem)
    assert len(stem) <= 65


def test_files_are_written_nowhere_but_below_the_report(small: StudyTables, tmp_path: Path) -> None:
    evil = {card.benchmark: f"../../../{card.benchmark}" for card in small.benchmarks}
    study = replace(
        small,
        benchmarks=[replace(card, benchmark=evil[card.benchmark]) for card in small.benchmarks],
        attempts=[replace(cell, benchmark=evil[cell.benchmark]) for cell in small.attempts],
    )
    report = tmp_path / "a" / "b" / "report"
    write_flips(report, study, [])
    written = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert written
    assert {path.parent for path in written} == {report / name for name in ("flips", "figures", "data")}


def test_pages_of_an_earlier_report_do_not_stay(small: StudyTables, tmp_path: Path) -> None:
    first = write_flips(tmp_path, small, [])
    (tmp_path / "figures" / "accuracy.svg").write_text("another's")
    fewer = replace(small, attempts=[cell for cell in small.attempts if cell.benchmark == "advbench"], benchmarks=small.benchmarks[1:])
    second = write_flips(tmp_path, fewer, [])
    assert second.num_pages < first.num_pages
    assert len(pages_of(tmp_path)) == second.num_pages
    assert len(list((tmp_path / "figures").glob("flow-*"))) == 2
    assert (tmp_path / "figures" / "accuracy.svg").exists()


def test_each_kind_has_its_items_page_by_page_and_a_filter_without_a_script(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(benchmarks=("countdown",), datasets=("math-cot",), steps=(0, 640), num_items=200)
    index = write_flips(tmp_path, study, [])
    num_gained = index.counts["wrong_to_right"]
    assert num_gained > ITEMS_A_PAGE
    own = {name: page for name, page in pages_of(tmp_path).items() if ".wrong-to-right." in name}
    listed = [page.tags.count("article") for page in own.values()]
    assert listed == [ITEMS_A_PAGE] * (len(listed) - 1) + [min(num_gained, flip_choice.MOST_OF_A_KIND) - ITEMS_A_PAGE * (len(listed) - 1)]
    page = next(iter(own.values()))
    assert f"showing {min(num_gained, flip_choice.MOST_OF_A_KIND)} of {num_gained}" in page.text
    classes = {value for tag, name, value in page.attributes if (tag, name) == ("article", "class")}
    radios = {value for tag, name, value in page.attributes if (tag, name) == ("input", "id")}
    assert len(classes) > 1
    for each in classes:
        number = each.removeprefix("t")
        assert f"f{number}" in radios
        assert f"#f{number}:checked ~ .items > article:not(.{each})" in page.style


def test_the_tables_hold_every_flip_though_the_pages_do_not(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(benchmarks=("countdown",), datasets=("math-cot",), steps=(0, 640), num_items=200)
    index = write_flips(tmp_path, study, [])
    assert set(index.files) == {f"{name}.{suffix}" for name in ("flips", "flow", "fates") for suffix in ("csv", "parquet")}
    table = pl.read_parquet(tmp_path / "data" / "flips.parquet")
    for kind in ("right_to_wrong", "wrong_to_right"):
        assert table.filter(pl.col("kind") == kind).height == index.counts[kind]
    assert pl.read_csv(tmp_path / "data" / "flips.csv").height == table.height
    assert pl.read_parquet(tmp_path / "data" / "flow.parquet")["num_attempts"].sum() == 200


def test_the_bound_holds_and_the_same_items_are_chosen_however_tight_it_is(make_study: MakeStudy) -> None:
    study = make_study(benchmarks=("math-500", "countdown"), steps=(0, 640), num_items=100)
    study = changed(study, lambda number, each: replace(each, text="x" * 5000))
    found = compared(study, default_pairs(study, []))
    wide, narrow, least = (choose(found, most) for most in (10**9, 2_000_000, 1))
    num_items = [sum(len(listed.items) for each in chosen for listed in each) for chosen in (wide, narrow, least)]
    assert num_items[0] > num_items[1] > num_items[2] == sum(len(each) for each in least)
    # 2 texts, each by its ends and whole, and markup.
    assert num_items[1] * (2 * (5000 + 1200) + flip_choice.MARKUP_CHARACTERS) <= 2_000_000
    for one, other in zip(wide, narrow, strict=True):
        for all_items, some in zip(one, other, strict=True):
            assert all_items.num_items == some.num_items >= len(all_items.items)
            assert {item.problem_id for item in some.items} <= {item.problem_id for item in all_items.items}


def test_a_long_text_is_shown_by_its_ends_with_the_whole_behind_a_fold(small: StudyTables, tmp_path: Path) -> None:
    text = f"\nbegin {'a' * 4000} middle {'b' * 4000} end"
    write_flips(tmp_path, changed(small, lambda _, each: replace(each, text=text)), [])
    page = next(page for name, page in pages_of(tmp_path).items() if ".right-to-wrong." in name)
    assert "characters left out" in page.text
    assert text in page.text, "the whole is there, its first line break too"
    assert "pre" in page.tags
    assert page.tags.count("details") == 1 + 2 * page.tags.count("article")
    assert shown("x" * FOLDED_FROM).whole is None
    endless = shown("x" * 1_000_000)
    assert endless.num_characters == 1_000_000
    assert endless.whole is not None
    assert len(endless.whole) < WHOLE_CHARACTERS + 100


def test_a_text_that_no_encoding_holds_is_still_written(small: StudyTables, tmp_path: Path) -> None:
    write_flips(tmp_path, changed(small, lambda _, each: replace(each, text="half \ud83d of a pair, \x00 and \x1b[31m")), [])
    page = next(page for name, page in pages_of(tmp_path).items() if ".right-to-wrong." in name)
    assert "half ? of a pair" in page.text


@pytest.mark.parametrize("changes", [{"with_attempts": False}, {"steps": (0,)}, {"failed": ("math-cot", "math-nocot")}], ids=str)
def test_a_study_with_nothing_to_compare_says_so(changes: dict[str, object], make_study: MakeStudy, tmp_path: Path) -> None:
    index = write_flips(tmp_path, make_study(benchmarks=("countdown",), num_items=4, **changes))
    assert (index.num_pairs, index.num_pages, index.rows, index.figures) == (0, 1, [], [])
    assert "No two checkpoints have attempts" in pages_of(tmp_path)["index.html"].text
    assert "nothing can be said of flips" in Page(render_section(index)).text
    assert pl.read_parquet(tmp_path / "data" / "flips.parquet").height == 0


def test_pairs_with_a_bottom_are_marked_as_chosen_after_looking(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(benchmarks=("math-500",), datasets=("math-cot",), steps=(0, 20, 640), num_items=60)
    lowest = [
        replace(cell, attempts=tuple(replace(each, verdict="wrong") for each in cell.attempts)) if cell.step == 20 else cell
        for cell in study.attempts
    ]
    index = write_flips(tmp_path, replace(study, attempts=lowest))
    assert index.num_pairs == 3
    page = next(page for name, page in pages_of(tmp_path).items() if name.startswith("0002-math-500.right-to-wrong."))
    assert "chosen on these very items" in page.text
    assert "†" in pages_of(tmp_path)["index.html"].text
    assert "chosen on these very items" not in next(page for name, page in pages_of(tmp_path).items() if name.startswith("0001")).text


def test_what_is_left_out_is_said(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(benchmarks=("math-500", "countdown"), steps=(0, 640), num_items=8)
    index = write_flips(tmp_path, study, [], Bounds(pairs=1, figures=1, runs_a_figure=1))
    assert (index.num_pairs, index.num_pairs_left_out, len(index.figures)) == (1, 5, 1)
    text = pages_of(tmp_path)["index.html"].text
    for said in ("Showing 1 of 6 pairs", "Showing the figures of 1 of 2 benchmarks", "showing 1 of 2 runs"):
        assert said in text


def test_scored_attempts_of_no_known_benchmark_are_compared_too(small: StudyTables, tmp_path: Path) -> None:
    cells = [ScoredAttempts(run=cell.run, step=cell.step, benchmark="unlisted", attempts=cell.attempts) for cell in small.attempts]
    assert write_flips(tmp_path, replace(small, attempts=cells[::2], benchmarks=(), scores=()), []).num_pairs > 0
