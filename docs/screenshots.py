"""Screenshots of the HTML reports: `python docs/screenshots.py FOLDER` makes three sizes in both themes, of two runs and of a fleet.

Without a folder it makes that of README.md. It drives the machine's Chromium (see `.ci/run`) through playwright.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

import tracekit

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"phone": (400, 800), "laptop": (1280, 800), "wide": (1920, 1080)}
SAMPLES = {
    "resize-window": "vfio.resize-window/fires-guest-disable-then-growth-6.12/trace.txt",
    "stale-hwsize": "msi.stale-hwsize/fires-kprobe-8-16-6.12/trace.txt",
}
README = {"resize-window": "light"}


def taken(tab: Any, page: Path, size: tuple[int, int], scheme: str, file: Path) -> None:
    """Write what the first screen shows."""
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": size[0], "height": size[1]})
    tab.goto(page.as_uri())
    tab.screenshot(path=str(file))
    print(f"{file}: {file.stat().st_size // 1024} KB")


def everywhere(tab: Any, page: Path, folder: Path, name: str) -> None:
    """Write what a page shows in three sizes and both themes."""
    for size, scheme in ((s, c) for s in SIZES for c in ("light", "dark")):
        taken(tab, page, SIZES[size], scheme, folder / f"{name}-{size}-{scheme}.png")


def fleet(scratch: Path) -> Path:
    """Write the page of a batch over the samples."""
    command, page = Path(sys.executable).parent / "tracekit", scratch / "fleet.html"
    samples = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "sample_traces").iterdir() if p.is_dir())
    subprocess.run([command, "batch", *samples, "-o", scratch / "results", "--fail-on", "never"], cwd=ROOT, check=False)
    subprocess.run([command, "report", scratch / "results", "-f", f"html={page}", "--fail-on", "never"], cwd=ROOT, check=False)
    return page


def main(folder: Path | None) -> None:
    """Make the pages, then the screenshots."""
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("chromium-browser"), args=["--no-sandbox"])
        tab = chromium.new_page()
        for name, log in SAMPLES.items():
            page = Path(scratch) / f"{name}.html"
            run = tracekit.analyze([f"sample_traces/{log}"], tracekit.Options(pictures=True))
            page.write_text(run.report("html"), encoding="utf-8")
            if folder is None and name in README:
                taken(tab, page, SIZES["laptop"], README[name], ROOT / f"docs/{name}.png")
            if folder is not None:
                everywhere(tab, page, folder, name)
        if folder is not None:
            everywhere(tab, fleet(Path(scratch)), folder, "fleet")
        chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
