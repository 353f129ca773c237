"""The HTML page of a fleet: its cells, bars and rows are those of the results; what is large is cut with a count."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fleets import case, finding, render, results

from tracekit.batch.fleet import fleet
from tracekit.fleet import Fleet

DAY = {"first_seen": "2026-11-01T00:00:00Z", "last_seen": "2026-11-02T00:00:00Z", "seen_by": "stamp"}
LATER = {**DAY, "first_seen": "2026-11-03T00:00:00Z"}


class Tables(HTMLParser):
    """The cells of every table of a page, row by row."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th", "table", "thead")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.tables[-1][-1][-1] += data.strip()


def tables(page: str) -> list[list[list[str]]]:
    return Tables(page).tables


@pytest.fixture
def found(tmp_path: Path) -> Fleet:
    batch = results(
        tmp_path,
        case("a", finding(device="E810", **DAY), machine="m1", kernel="6.8"),
        case("b", finding(device="E810", **DAY), machine="m2", kernel="6.12"),
        case("c", finding(device="X710", **LATER), machine="m3", kernel="6.12"),
        case("d", finding("A-2", "g2", severity="low", role="", driver="", subject="0000:3b:00.0"), machine="m4", kernel=""),
        case("e", machine="m5", kernel="6.12"),
    )
    return fleet(batch)


def test_a_fault_is_spread_over_releases_devices_and_days(found: Fleet) -> None:
    first, other = found.faults
    assert first.grid == {"*": {"6.12": 2, "6.8": 1}, "E810": {"6.12": 1, "6.8": 1}, "X710": {"6.12": 1}}
    assert other.grid == {"*": {"": 1}, "": {"": 1}}
    assert (first.days, other.days) == ({"2026-11-01": 2, "2026-11-03": 1}, {})
    assert found.kernels == {"": 1, "6.12": 3, "6.8": 1}
    assert [(c.case, c.machine, c.code, c.device, c.kernel, c.source, c.line) for c in found.found] == [
        ("a", "m1", "IRQ-003", "E810", "6.8", "a/dmesg", 7),
        ("b", "m2", "IRQ-003", "E810", "6.12", "b/dmesg", 7),
        ("c", "m3", "IRQ-003", "X710", "6.12", "c/dmesg", 7),
        ("d", "m4", "A-2", "", "", "d/dmesg", 7),
    ]


def test_the_heat_map_has_a_number_in_every_cell(found: Fleet) -> None:
    heat, *_ = tables(render(found, "html"))
    assert heat == [
        ["Fault and device", "6.8of 1", "6.12of 3", "not knownof 1"],
        ["IRQ-003irq.x, network", "1100 %", "267 %", "0"],
        ["E810", "1", "1", "0"],
        ["X710", "0", "1", "0"],
        ["A-2irq.x", "0", "0", "1100 %"],
    ]


def test_the_trend_has_a_bar_for_each_day_and_its_number(found: Fleet) -> None:
    page = render(found, "html")
    _, bars, numbers, _ = tables(page)
    assert bars == [["Fault", "2026-11-032026-11-01", "most in a day"], ["IRQ-003irq.x, network", "2026-11-01: 22026-11-03: 1", "2"]]
    assert numbers == [["day", "IRQ-003network"], ["2026-11-01", "2"], ["2026-11-03", "1"]]
    assert 'aria-label="2026-11-01 to 2026-11-03: 2, 0, 1"' in page


@pytest.mark.parametrize(
    ("days", "unit", "bars"),
    [
        (("2026-11-01", "2026-12-10"), "day", 40),
        (("2026-01-07", "2026-06-01"), "week", 22),
        (("2025-01-07", "2026-12-31"), "month", 24),
        (("1972-01-01", "2026-12-31"), "year", 55),
        (("0001-01-01", "2026-12-31"), "day", 1),
    ],
)
def test_a_long_time_is_put_together(tmp_path: Path, days: tuple[str, str], unit: str, bars: int) -> None:
    seen = [finding(finding=i, **{**DAY, "first_seen": f"{day}T00:00:00Z"}) for i, day in enumerate(days)]
    page = render(fleet(results(tmp_path, case("a", *seen))), "html")
    assert f"by the {unit} of the first line" in page
    (told,) = re.findall(r'role="img" aria-label="[^:]*: ([^"]*)"', page)
    assert len(told.split(", ")) == bars and sum(map(int, told.split(", "))) == (1 if days[0] < "1970" else 2)


def test_the_table_has_a_row_for_each_case_the_worst_first(found: Fleet) -> None:
    *_, cases = tables(render(found, "html"))
    assert cases[0] == ["Severity", "Fault", "Grade", "Machine", "Device", "Kernel", "First seen", "Case", "Line", "What"]
    assert cases[1] == ["high", "IRQ-003", "proven", "m1", "E810", "6.8", "2026-11-01", "a", "dmesg:7", "IRQ-003 happened"]
    assert cases[4] == ["low", "A-2", "proven", "m4", "0000:3b:00.0", "", "", "d", "dmesg:7", "A-2 happened"]


def test_findings_of_one_fault_about_one_device_are_one_row(tmp_path: Path) -> None:
    twice = [finding(finding=i, subject="0000:3b:00.0") for i in range(2)]
    report = fleet(results(tmp_path, case("a", *twice, finding(finding=2, subject="0000:3b:00.1"))))
    assert [(c.subject, c.findings) for c in report.found] == [("0000:3b:00.0", 2), ("0000:3b:00.1", 1)]
    assert "<td>IRQ-003 (2)" in render(report, "html")


def test_what_is_new_known_and_gone_is_said(tmp_path: Path) -> None:
    old = results(tmp_path / "old", case("a", finding("A-1", "g1"), finding("A-2", "g2"), machine="m1"))
    new = results(tmp_path / "new", case("b", finding("A-2", "g2"), finding("A-3", "g3", finding=1), machine="m1"))
    page = render(fleet(new, old), "html")
    assert '<span class="new">1 new</span>, 1 known, 1 gone since the earlier batch.' in page
    assert "A-1  irq.x: was on 1 machine" in page
    *_, cases = tables(page)
    assert [row[:3] for row in cases] == [["Severity", "Fault", "State"], ["high", "A-2", "known"], ["high", "A-3", "new"]]


def test_faults_that_only_their_causes_tell_apart_are_numbered(tmp_path: Path) -> None:
    cases = [case(f"c{i}", finding(group=f"g{i}", role=role)) for i, role in enumerate(("", "", "nvme"))]
    page = render(fleet(results(tmp_path, *cases)), "html")
    assert [re.sub("notes?ice$|ice$", "", row[0]) for row in tables(page)[0][1:]] == [
        "IRQ-003irq.x #1",
        "IRQ-003irq.x #2",
        "IRQ-003irq.x, nvme",
    ]


def test_each_fault_has_the_command_that_shows_a_case(tmp_path: Path) -> None:
    page = render(fleet(results(tmp_path, case("a b.tar", finding(advice="Bind it again.")))), "html")
    assert "<code>tracekit analyze &#x27;a b.tar&#x27; --open</code>" in page
    assert "<b>What to do.</b> Bind it again." in page


def test_releases_devices_and_faults_beyond_the_table_are_put_together(tmp_path: Path) -> None:
    cases = [case(f"c{i}", finding(device=f"d{i % 9}"), machine=f"m{i}", kernel=f"6.{i}") for i in range(20)]
    cases += [case(f"f{i}", finding(f"A-{i}", f"of-{i}"), machine=f"n{i}") for i in range(30)]
    report = fleet(results(tmp_path, *cases))
    heat, *_ = tables(render(report, "html"))
    assert len(heat[0]) == 12 and heat[0][-1].startswith("10 othersof ")
    assert [row[0] for row in heat if row[0].endswith("other devices")] == ["5 other devices"]
    assert "<p>16 further faults below.</p>" in render(report, "html")
    assert heat[1][-1] == "10100 %" and heat[1][1:-1] == ["1100 %" if h.endswith("of 1") else "13 %" for h in heat[0][1:-1]]


def test_a_large_fleet_stays_below_5_mb_and_counts_what_is_left_out(tmp_path: Path) -> None:
    long = "/".join(["a" * 60] * 3)
    cases = [case(f"{long}/{i:05}.tar.xz", finding(summary="x" * 300, subject=f"0000:3b:00.{i}"), machine=f"m{i}") for i in range(10_500)]
    report = fleet(results(tmp_path, *cases))
    assert (len(report.found), report.more) == (10_000, 500)
    page = render(report, "html")
    assert len(page.encode()) < 5_000_000
    (rows,) = re.findall(r"<p>([0-9,]+) more cases with a fault are not on this page", page)
    assert page.count("<tr data-f=") + int(rows.replace(",", "")) == 10_500


def test_a_fleet_without_a_fault_has_neither_tables_nor_a_script(tmp_path: Path) -> None:
    page = render(fleet(results(tmp_path, case("a", machine="m1"))), "html")
    assert tables(page) == [] and "<script" not in page
    assert "script-src 'none'" in page and "<h1 class=good>0 faults on 0 of 1 machine (1 case)</h1>" in page


def test_the_page_does_not_depend_on_the_order_of_the_batch(tmp_path: Path) -> None:
    cases = [
        case(f"c{i}", finding(group=f"g{i % 3}", code=f"A-{i % 3}", device=f"d{i % 2}", **DAY), machine=f"m{i % 4}") for i in range(12)
    ]
    one, other = results(tmp_path / "1", *cases), results(tmp_path / "2", *reversed(cases))
    assert render(fleet(one), "html") == render(fleet(other), "html")
