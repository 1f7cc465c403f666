"""The documents as a site: it builds without a warning, holds every page, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.site_hooks import on_page_markdown

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r"""<(?:script|img|iframe)[^>]*\ssrc=["']?([^"'\s>]+)|<link[^>]*\shref=["']?([^"'\s>]+)[^>]*>""")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site") / "html"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", "docs/site/mkdocs.yml", "-d", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_builds_and_reads_offline(site: Path):
    pages = {page.stem for page in site.glob("*.html")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} <= pages
    assert (site / "search" / "search_index.js").is_file()
    assert not [*site.rglob("*.py"), *site.rglob("mkdocs.yml")]
    for page in site.glob("*.html"):
        loaded = [a or b for a, b in LOADED.findall(page.read_text(encoding="utf-8"))]
        assert "iframe-worker.js" in " ".join(loaded), page.name
        assert [target for target in loaded if "//" in target] == [], page.name


def test_a_table_of_the_site_shows_pipes_in_code_without_the_escapes_that_github_needs():
    assert on_page_markdown("| `a\\|b` | c\\|d |\n`e\\|f`") == "| `a|b` | c\\|d |\n`e\\|f`"


def test_a_diagram_becomes_a_table_of_its_boxes_and_arrows():
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    shown = on_page_markdown(page)
    assert "mermaid" not in shown
    assert (
        "| 7 · training: train, loop, step, plan, data, export, folds | evaluation, reporting, inference, shift |"
        in shown
    )
    assert r"| 11 · \_\_init\_\_.py: the public names, resolved lazily | library |" in shown
