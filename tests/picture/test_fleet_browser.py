"""The page of a fleet in a browser: it sorts, filters, leads from a cell to its cases, and asks nobody for anything."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from fleets import case, finding, render, results

from tracekit.batch.fleet import fleet

pytestmark = pytest.mark.xdist_group("browser")

DAYS = [{"first_seen": f"2026-11-{day:02}T00:00:00Z", "last_seen": "2026-11-28T00:00:00Z", "seen_by": "stamp"} for day in range(1, 20)]
KERNELS = ("6.8.0-45-generic", "6.12.9", "6.1.0-18-amd64")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 cases with two faults on three releases, one of them new, and 700 of a third fault."""
    folder = tmp_path_factory.mktemp("fleet")
    old = results(folder / "old", case("c1", finding("MSI-001", "g1"), finding("A-9", "g9", finding=1), machine="m1"))
    cases = [
        case(
            f"logs/c{i}.tar",
            finding("MSI-001", "g1", device=f"model {i % 2}", subject=f"0000:3b:00.{i % 8}", **DAYS[i % 19]),
            *([finding("VFIO-002", "g2", severity="critical", finding=1, **DAYS[i % 5])] if i % 4 == 0 else []),
            machine=f"m{i}",
            kernel=KERNELS[i % 3],
        )
        for i in range(60)
    ]
    cases += [case(f"logs/low{i}.tar", finding("IRQ-003", "g3", severity="low"), machine=f"n{i}", kernel="") for i in range(700)]
    page = folder / "fleet.html"
    page.write_text(render(fleet(results(folder / "new", *cases), old), "html"), encoding="utf-8")
    return page


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[tuple[Any, list[str]]]:
    """The page, and what the browser complained of or asked for."""
    tab, said = browser.new_page(viewport={"width": 1280, "height": 800}), list[str]()
    tab.on("console", lambda m: said.append(m.text))
    tab.on("pageerror", lambda e: said.append(str(e)))
    tab.on("request", lambda r: said.append(r.url) if r.url != report.as_uri() else None)
    tab.goto(report.as_uri())
    yield tab, said
    assert said == []
    tab.close()


def status(tab: Any) -> str:
    return str(tab.locator("[role=status]").inner_text())


def column(tab: Any, at: int) -> list[str]:
    """The visible cells of a column."""
    return [str(text) for text in tab.locator(f".cases tbody tr:not([hidden]) td:nth-child({at})").all_inner_texts()]


def test_the_first_screen_has_the_headline_and_the_heat_map(page: tuple[Any, list[str]]) -> None:
    tab, _ = page
    for part in ("h1", ".new", ".heat thead", ".heat tbody tr"):
        box = tab.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= 800, part


def test_words_and_choices_filter_the_rows(page: tuple[Any, list[str]]) -> None:
    tab, _ = page
    assert status(tab) == "first 500 of 775 of 775 rows"
    tab.get_by_label("Words").fill("6.12.9 MODEL")
    assert status(tab) == "20 of 775 rows"
    tab.get_by_label("Severity").select_option("critical")
    assert status(tab) == "0 of 775 rows"
    tab.get_by_label("Words").fill("")
    assert status(tab) == "15 of 775 rows" and set(column(tab, 2)) == {"VFIO-002"}
    tab.get_by_role("button", name="No filter").click()
    tab.get_by_role("button", name="All rows").click()
    assert status(tab) == "775 of 775 rows" and len(column(tab, 2)) == 775


def test_a_head_sorts_by_a_click_or_a_key_and_back(page: tuple[Any, list[str]]) -> None:
    tab, _ = page
    own = column(tab, 8)
    head = tab.locator("th button", has_text="Kernel")
    tab.get_by_label("Words").fill("logs/c")
    head.focus()
    tab.keyboard.press("Enter")
    assert head.locator("..").get_attribute("aria-sort") == "ascending"
    assert list(dict.fromkeys(column(tab, 7))) == ["6.1.0-18-amd64", "6.8.0-45-generic", "6.12.9"]
    head.click()
    assert list(dict.fromkeys(column(tab, 7))) == ["6.12.9", "6.8.0-45-generic", "6.1.0-18-amd64"]
    head.click()
    tab.get_by_label("Words").fill("")
    assert column(tab, 8) == own
    tab.locator("th button", has_text="Severity").click()
    assert list(dict.fromkeys(column(tab, 1))) == ["CRITICAL", "HIGH", "LOW"]


def test_a_cell_of_the_heat_map_shows_its_cases(page: tuple[Any, list[str]]) -> None:
    tab, _ = page
    row = tab.locator(".heat tr", has_text="model 1").first
    link = row.locator("a").last
    number = link.inner_text()
    link.click()
    assert status(tab) == f"{number} of 775 rows of that cell"
    assert all("model 1" in text for text in column(tab, 6)) and len(set(column(tab, 7))) == 1


@pytest.mark.parametrize("width", [400, 1280, 1920])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_never_wider_than_the_window_and_axe_finds_nothing(page: tuple[Any, list[str]], width: int, scheme: str) -> None:
    tab, _ = page
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    found = tab.evaluate(
        f"async () => {{ {axe}; return (await axe.run()).violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 200))]) }}"
    )
    assert found == []


def test_it_is_whole_without_script(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(report.as_uri())
    assert tab.locator(".cases tbody tr").count() == 775 and not tab.locator(".filter").is_visible()
    tab.locator(".heat td a").first.click()
    assert tab.url.endswith("#cases")
    tab.locator("summary", has_text="The numbers").click()
    assert tab.locator("details[open] tr").count() == 20
    context.close()


def test_it_prints_no_wider_than_the_paper(page: tuple[Any, list[str]]) -> None:
    tab, _ = page
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 1030, "height": 700})  # A4 across, less its margins
    assert tab.evaluate("Math.max(...[...document.querySelectorAll('body, table')].map((e) => e.scrollWidth))") <= 1030
    assert len(tab.pdf(format="A4")) > 50_000
