"""Pages: whole, safe whatever a film is called, and readable everywhere."""

import base64
import csv
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pneumocli.evaluation.store import evaluation_report, read_evaluation
from pneumocli.inference.classifier import Classifier
from pneumocli.metrics.records import Evaluation
from pneumocli.reporting.evaluation_page import evaluation_page
from pneumocli.run_folder import RunFolder
from tests.conftest import scored_film
from tests.helpers.browser import browse

HOSTILE = "test/NORMAL/<img src=x onerror=alert(1)>.jpeg"


@pytest.fixture(scope="module")
def page(evaluated: tuple[RunFolder, Evaluation], phantoms: Path) -> str:
    """A report with a film whose name is an attack."""
    run, evaluation = evaluated
    _, films = read_evaluation(run, "test")
    worst = scored_film(HOSTILE, "NORMAL", 12.0, "hostile").model_copy(update={"prediction": "PNEUMONIA"})
    report = evaluation_report(run, Classifier.of_run(run), evaluation, [worst, *films], phantoms)
    return evaluation_page(report)


def test_a_page_escapes_names_and_asks_nobody(page: str):
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "default-src 'none'" in page
    assert not re.findall(r"src=\"(?!data:)", page)
    assert not re.findall(r"href=\"(?:[a-z]+:|/)", page)  # only places in the page and files beside it


def test_a_page_runs_its_own_script_and_no_other(page: str):
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == page.count("<script") == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert not re.findall(r"\son[a-z]+=", re.sub(r"onerror=alert\(1\)&gt;", "", page))


def test_every_picture_has_words_and_every_figure_its_data(page: str):
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) > 8
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)
    assert page.count("Data of this figure") == 7
    assert "misses" in page
    assert "Not a medical device" in page


def test_the_slider_holds_the_counts_at_every_threshold(page: str, evaluated: tuple[RunFolder, Evaluation]):
    rows = json.loads(html.unescape(re.findall(r'data-thresholds="([^"]*)"', page)[0]))
    table = evaluated[1].confusion
    stored = next(row for row in rows if row[0] == evaluated[1].threshold.value)
    assert stored[1:] == [table.tp, table.fp + 1, table.fn, table.tn]  # and the hostile film, a false alarm
    assert [rows[0][3], rows[0][4], rows[-1][1], rows[-1][2]] == [0, 0, 0, 0]  # at 0 all are positive, at 1 none
    assert all(sum(row[1:]) == evaluated[1].num_images + 1 for row in rows)


def test_every_method_is_named_once_for_all_of_its_metrics(page: str, evaluated: tuple[RunFolder, Evaluation]):
    methods = {metric.method for metric in evaluated[1].metrics.values()}
    assert all(html.unescape(page).count(f"<h3>{method}</h3>") == 1 for method in methods)


def test_settings_and_shares_stand_as_people_read_them(page: str, evaluated: tuple[RunFolder, Evaluation]):
    settings = page[page.index("Settings of the training") : page.index("<h2>Limits</h2>")]
    assert "<dd>none</dd>" in settings
    assert "<dd>yes</dd>" in settings
    assert not re.findall(r"<dd[^>]*>(?:None|True|False|[\[{].*?)</dd>", html.unescape(settings))
    assert f"At threshold {evaluated[1].threshold.value:.1%} it " in page
    assert not re.findall(r"probability 0\.\d{3}", page)


_COPY = """<script>
navigator.clipboard.writeText = async (text) => {
  const copied = document.createElement("pre");
  copied.id = "copied";
  copied.textContent = text;
  document.body.append(copied);
};
document.querySelector("button[data-copy]").click();
</script>"""


@pytest.mark.slow
def test_copied_metrics_name_the_method_of_their_intervals(
    page: str, evaluated: tuple[RunFolder, Evaluation], tmp_path: Path
):
    file = tmp_path / "report.html"
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)  # it forbids the line below, rightly
    # A page without a screen may not write to the clipboard: what it would have written is put on the page.
    file.write_text(page.replace("</body>", f"{_COPY}</body>"), encoding="utf-8")
    done = browse(file, "--virtual-time-budget=2000", "--dump-dom")
    found = re.search(r'<pre id="copied">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    rows = list(csv.reader(html.unescape(found[1]).splitlines()))
    metric = evaluated[1].metrics["sensitivity"]
    (row,) = [number for number, cells in enumerate(rows) if cells[:1] == ["sensitivity"]]
    headings = [cells[0] for cells in rows[:row] if len(cells) == 1]
    assert headings[-1] == metric.method
    assert len([cells for cells in rows if len(cells) == 3 and cells[0] != "metric"]) == len(evaluated[1].metrics)


@pytest.mark.slow
def test_on_paper_everything_is_unfolded(page: str, tmp_path: Path):
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("no pdftotext on this machine (Debian: apt-get install poppler-utils)")
    file, paper = tmp_path / "report.html", tmp_path / "report.pdf"
    file.write_text(page, encoding="utf-8")
    browse(file, f"--print-to-pdf={paper}")
    done = subprocess.run([reader, "-layout", paper, "-"], capture_output=True, text=True, timeout=60, check=True)
    assert "learning_rate" in done.stdout  # the settings of the training
    assert "false alarms" in done.stdout  # the table below the slider
    assert len(re.findall(r"mean probability\s", done.stdout)) == 1  # a figure's data
    assert re.search(r"Threshold\s+\d+\.\d%", done.stdout)  # what the counts below it belong to
    assert "Copy as CSV" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("size", ["1280,900", "390,844"])
def test_the_page_opens_in_a_browser_without_a_complaint(size: str, page: str, tmp_path: Path):
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    flags = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    flags += ["--enable-logging=stderr", "--v=0", f"--window-size={size}", f"--screenshot={tmp_path / 'page.png'}"]
    done = browse(file, *flags, check=False)
    assert (tmp_path / "page.png").stat().st_size > 20_000, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    assert np.frombuffer((tmp_path / "page.png").read_bytes()[16:20], ">u4")[0] == int(size.split(",", maxsplit=1)[0])
