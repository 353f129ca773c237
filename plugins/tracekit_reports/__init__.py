"""Reports: a run as a page for people or as what a program reads."""

from tracekit import hookimpl


@hookimpl
def tracekit_reports() -> list[type]:
    """Return the built-in reports, by the name that `--format` takes."""
    from tracekit_reports.annotations import GithubReport, GitlabReport
    from tracekit_reports.csv import CsvReport
    from tracekit_reports.html import HtmlReport
    from tracekit_reports.json import JsonReport
    from tracekit_reports.junit import JunitReport
    from tracekit_reports.markdown import MarkdownReport
    from tracekit_reports.perfetto import PerfettoReport
    from tracekit_reports.sarif import SarifReport
    from tracekit_reports.svg import SvgReport
    from tracekit_reports.terminal import TerminalReport

    people = [TerminalReport, MarkdownReport, HtmlReport, SvgReport]
    return [*people, JsonReport, SarifReport, JunitReport, CsvReport, GithubReport, GitlabReport, PerfettoReport]
