"""The HTML page in a browser: it draws, zooms, leads to its lines, and asks nobody for anything."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tracekit_reports.html import HtmlReport

from tracekit.pipeline import Options, analyze

pytestmark = pytest.mark.xdist_group("browser")

LOG = Path(__file__).resolve().parents[2] / "sample_traces/vfio.resize-window/fires-guest-disable-then-growth-6.12/trace.txt"


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[tuple[Any, list[str]]]:
    """The page of a resize window, and what the browser complained of or asked for."""
    report = tmp_path / "report.html"
    report.write_text(HtmlReport().write(analyze([str(LOG)], Options(pictures=True)), {}), encoding="utf-8")
    tab, said = browser.new_page(viewport={"width": 1280, "height": 800}), list[str]()
    tab.on("console", lambda m: said.append(m.text))
    tab.on("pageerror", lambda e: said.append(str(e)))
    tab.on("request", lambda r: said.append(r.url) if r.url != report.as_uri() else None)
    tab.goto(report.as_uri())
    yield tab, said
    tab.close()


def test_the_first_screen_has_verdict_picture_and_what_to_do(page: tuple[Any, list[str]]) -> None:
    tab, said = page
    for part in ("h1", "h2", ".picture svg", ".do"):
        box = tab.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= 800, part
    assert said == []


def test_a_picture_zooms_by_keys_and_comes_back(page: tuple[Any, list[str]]) -> None:
    tab, said = page
    picture = tab.locator(".picture").first
    whole = picture.locator("svg").bounding_box()["width"]
    picture.focus()
    tab.keyboard.press("+")
    assert picture.locator("svg").bounding_box()["width"] > 1.4 * whole
    tab.keyboard.press("0")
    assert picture.locator("svg").bounding_box()["width"] == pytest.approx(whole)
    assert said == []


def test_a_bar_leads_to_its_line(page: tuple[Any, list[str]]) -> None:
    tab, _ = page
    tab.locator(".picture a").first.click()
    row = tab.locator("tr:target")
    assert row.count() == 1 and row.is_visible()


@pytest.mark.parametrize("width", [400, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_never_wider_than_the_window(page: tuple[Any, list[str]], width: int, scheme: str) -> None:
    tab, _ = page
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_whole_without_script(browser: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(HtmlReport().write(analyze([str(LOG)], Options(pictures=True)), {}), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(report.as_uri())
    assert tab.locator(".picture rect").count() > 10
    tab.locator("summary", has_text="The lines around").first.click()
    assert tab.locator("details[open] tr").count() > 20
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: tuple[Any, list[str]], scheme: str) -> None:
    tab, _ = page
    tab.emulate_media(color_scheme=scheme)
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    found = tab.evaluate(
        f"async () => {{ {axe}; return (await axe.run()).violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 200))]) }}"
    )
    assert found == []


def test_it_prints_all_of_it_on_pages(page: tuple[Any, list[str]]) -> None:
    tab, said = page
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 720, "height": 1000})  # A4 upright, less its margins: lines wrap
    assert tab.evaluate("Math.max(...[...document.querySelectorAll('body, table, svg.tl')].map((e) => e.scrollWidth))") <= 720
    assert len(tab.pdf(format="A4")) > 10_000
    assert said == []
