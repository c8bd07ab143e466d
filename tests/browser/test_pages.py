"""
The pages as a browser shows them: ``make test-browser``.

Chromium, headless and without a network, shows a page inside a frame of a given width. A probe,
written into a copy of the page, tells the frame's parent what it sees; the parent is what
``--dump-dom`` prints. Pictures of the pages are left in ``runs/browser/`` to be looked at.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from made_runs import LANES, SECOND, by_lane, make_eventful_run, make_run
from streambox.loadgen.report import write_report
from streambox.loadgen.slo import parse_objective
from streambox.loadgen.summary import summarise
from streambox.workload.patterns import generate
from streambox.workload.plot import write_plot

pytestmark = pytest.mark.browser
Look = Callable[[str, int], dict[str, Any]]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PICTURES = Path(__file__).parent.parent.parent / "runs" / "browser"
WIDTHS = (1200, 390)
HEIGHT = 9000
FLAGS = (
    "--headless",
    "--no-sandbox",  # what it shows is ours
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--virtual-time-budget=20000",
)

LISTEN = """<script>
window.faults = [];
for (const kind of ["error", "unhandledrejection", "securitypolicyviolation"])
  addEventListener(kind, e => faults.push(kind + ": " + (e.message || e.reason || e.blockedURI)), true);
for (const level of ["error", "warn"])
  console[level] = (...words) => faults.push(level + ": " + words.join(" "));
</script>"""

TELL = """<script>
const settled = () => {
  const all = selector => [...document.querySelectorAll(selector)];
  const right = e => Math.round(e.getBoundingClientRect().right - innerWidth);
  const wide = e => right(e) > 0 && !e.closest(".scroll, svg, .svg-container");
  parent.postMessage(JSON.stringify({
    faults,
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
    width: innerWidth,
    overflow: document.documentElement.scrollWidth - innerWidth,
    sticking_out: all("main *").filter(wide).map(e => e.tagName + " " + e.textContent.slice(0, 40)),
    height: Math.ceil(document.querySelector("main").getBoundingClientRect().bottom),
    title: document.title,
    text: document.querySelector("main").innerText,
    pictures: Object.fromEntries(all(".chart").map(e => [e.id, {
      svgs: e.querySelectorAll("svg.main-svg").length,
      marks: e.querySelectorAll(".scatterlayer path, .barlayer path").length,
      overflow: right(e.querySelector("svg.main-svg")),
      told: e.getAttribute("aria-label") || "",
    }])),
  }), "*");
};
const root = document.documentElement;
const wait = () => "drawn" in root.dataset && setTimeout(settled, 200);  // no frames are painted
new MutationObserver(wait).observe(root, {attributes: true});
wait();
</script>"""

FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0;background:#fff">
<iframe src="{url}" style="border:0;display:block;width:{width}px;height:{height}px"></iframe>
<pre id="told"></pre>
<script>addEventListener("message", e => document.getElementById("told").textContent = e.data)</script>"""


@pytest.fixture(scope="session")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(BROWSERS)} is on the PATH")
    return found


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    return {
        "eventful": eventful_report(folder / "eventful.html"),
        "plain": plain_report(folder / "plain.html"),
        "workload": workload_plot(folder / "workload.html"),
    }


@pytest.fixture(scope="session")
def look(browser: str, pages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Look:
    """What a reader of a page, by its name, sees at a width; each is looked at once."""

    @cache
    def seen(name: str, width: int) -> dict[str, Any]:
        return told(browser, pages[name], tmp_path_factory.mktemp(f"{name}-{width}"), width)

    return seen


def eventful_report(path: Path) -> Path:
    """All that a report can show: lanes, objectives, errors, a warm-up."""
    outcomes = make_eventful_run()
    measured = outcomes.between(5 * SECOND, 60 * SECOND)
    texts = ("p99<50ms", "ok>90%", "tenant=acme:p50<20ms", "model=ranker:p99<30ms")
    summary = summarise(
        measured,
        mode="open-loop",
        seed=3,
        schedule_sha256="0123456789abcdef" * 4,
        duration_ns=55 * SECOND,
        judgements=[parse_objective(text).judge(measured, LANES, 55 * SECOND) for text in texts],
        begin_ns=5 * SECOND,
    )
    summary |= {"excluded": len(outcomes) - len(measured), "window_s": [5.0, 60.0]}
    summary |= {"lanes": by_lane(measured, 55.0), "fairness": 0.5842}
    recipe = {"model": "digits", "type": "bursty", "multiple": 0.4, "length": 60, "seed": 3}
    write_report(path, outcomes, summary, recipe)
    return path


def plain_report(path: Path) -> Path:
    outcomes = make_run()
    summary = summarise(
        outcomes, mode="open-loop", seed=1, schedule_sha256="ab" * 32, duration_ns=30 * SECOND
    )
    write_report(path, outcomes, summary, {"model": "digits", "rate_per_s": 100.0, "seed": 1})
    return path


def workload_plot(path: Path) -> Path:
    write_plot(path, generate("bursty", 1440, 0), "bursty-load.txt", 1.0)
    return path


def run(browser: str, folder: Path, *arguments: str) -> str:
    command = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def framed(page: Path, folder: Path, width: int) -> str:
    """The address of a document that shows *page* in a frame: no window is as narrow as a phone."""
    frame = folder / f"frame-{width}.html"
    frame.write_text(FRAME.format(url=page.as_uri(), width=width, height=HEIGHT), encoding="utf-8")
    return frame.as_uri()


def told(browser: str, page: Path, folder: Path, width: int) -> dict[str, Any]:
    """What the probe tells of *page* at *width*."""
    text = page.read_text(encoding="utf-8")
    probed = folder / "probed.html"
    head, body = "<title>", "</body>"
    assert text.count(head) == 1
    before, _, after = text.rpartition(body)
    probed.write_text(before.replace(head, LISTEN + head) + TELL + body + after, encoding="utf-8")
    document = run(browser, folder, "--window-size=1400,1000", "--dump-dom", framed(probed, folder, width))
    found = re.search(r'<pre id="told">(.+?)</pre>', document, re.DOTALL)
    assert found is not None, "the page has not been drawn"
    return json.loads(html.unescape(found[1]))


CASES = [(name, width) for name in ("eventful", "plain", "workload") for width in WIDTHS]


@pytest.mark.parametrize(("name", "width"), CASES)
def test_a_page_draws_every_picture_without_a_fault_or_a_request(look: Look, name: str, width: int) -> None:
    seen = look(name, width)
    assert seen["width"] == width
    assert seen["faults"] == []
    assert seen["requests"] == []
    assert len(seen["pictures"]) >= 3
    for picture, parts in seen["pictures"].items():
        assert parts["svgs"] >= 1, picture
        assert parts["marks"] >= 1, picture
        assert len(parts["told"]) > 20, picture


@pytest.mark.parametrize(("name", "width"), CASES)
def test_nothing_is_wider_than_the_screen(look: Look, name: str, width: int) -> None:
    seen = look(name, width)
    assert seen["overflow"] <= 0
    assert seen["sticking_out"] == []
    assert [picture for picture, parts in seen["pictures"].items() if parts["overflow"] > 0] == []


def test_a_report_begins_with_its_verdict_and_how_to_get_the_same_again(look: Look) -> None:
    seen = look("eventful", 390)
    assert seen["title"] == "Not valid: the load generator did not keep its schedule – load report"
    order = [
        "Not valid: the load generator did not keep its schedule",
        "streambox load --type bursty --multiple 0.4 --len 60 --model digits --seed 3",
        "0123456789abcdef" * 4,
        "Objectives",
        "Tenants and models",
        "Offered and achieved rate",
        "Environment",
    ]
    places = [seen["text"].index(words) for words in order]
    assert places == sorted(places)
    assert len(seen["pictures"]) == 11


@pytest.mark.parametrize(("name", "width"), CASES)
def test_a_picture_of_the_page_is_left_to_be_looked_at(
    browser: str, pages: dict[str, Path], look: Look, tmp_path: Path, name: str, width: int
) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / f"{name}-{width}.png"
    size = f"--window-size={max(width, 500)},{look(name, width)['height']}"
    run(browser, tmp_path, size, f"--screenshot={picture}", framed(pages[name], tmp_path, width))
    assert picture.stat().st_size > 20_000
