"""Every page as a screen reader and weak eyes meet it: axe-core, run in a browser, in both themes."""

import html
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pneumocli.core.config import CompareConfig, PredictConfig, VerifyDataConfig
from pneumocli.data.manifest import scan, with_hashes
from pneumocli.evaluation.compare import compare
from pneumocli.inference.predict import predict
from pneumocli.metrics.records import Evaluation, OutOfFoldFilm
from pneumocli.reporting.suspect_page import PAGE_NAME, write_suspect_labels
from pneumocli.run_folder import RunFolder
from pneumocli.verification.verify import verify_data
from tests.conftest import copy_of
from tests.helpers.browser import browse

pytestmark = pytest.mark.slow

_RUN = """axe.run({resultTypes: ["violations"]}).then((found) => {
  const shown = document.createElement("pre");
  shown.id = "axe";
  shown.textContent = JSON.stringify(found.violations.map((item) => [item.impact, item.id, item.nodes[0].html]));
  document.body.replaceChildren(shown);
});"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, fetched once and kept in the folder for temporary files."""
    kept = Path(tempfile.gettempdir()) / "pneumo-tests-axe-core-4.min.js"
    if not kept.is_file():
        if shutil.which("npm") is None:
            pytest.skip("needs npm, which fetches axe-core")
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                ["npm", "pack", "--silent", "axe-core@4"], cwd=folder, capture_output=True, text=True, timeout=120
            )
            if done.returncode != 0:
                pytest.skip(f"axe-core cannot be fetched: {(done.stderr or done.stdout).strip()[-200:]}")
            with tarfile.open(next(Path(folder).glob("axe-core-*.tgz"))) as archive:
                source = archive.extractfile("package/axe.min.js")
                assert source is not None
                kept.write_bytes(source.read())
    return kept.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(
    evaluated: tuple[RunFolder, Evaluation], phantoms: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Each kind of page once."""
    folder, run = tmp_path_factory.mktemp("pages"), evaluated[0]
    other = copy_of(run, folder / "other", evaluations=True)
    compare(CompareConfig(runs=(run.path, other.path), output=folder / "comparison"))
    verify_data(VerifyDataConfig(data=phantoms, report=folder / "verification.html"))
    films = {"inputs": (str(phantoms / "test"),), "run": run.path, "threshold": 0.01, "explain": folder / "maps"}
    list(
        predict(
            PredictConfig.model_validate(films | {"report": folder / "answers.html", "shift": folder / "shift.html"})
        )
    )
    manifest = with_hashes(scan(phantoms).of("test"))
    doubted = [
        OutOfFoldFilm(
            image=row.image, patient=row.patient, kind="unknown", label="NORMAL", logit=4.0, probability=0.98,
            prediction="PNEUMONIA", fold=1,
        )
        for row in manifest.rows[:8]
    ]  # fmt: skip
    write_suspect_labels(folder, doubted, manifest)
    return {
        "report": run.evaluation_folder("test").report_file,
        "model card": run.card_page,
        "comparison": folder / "comparison" / "comparison.html",
        "verification": folder / "verification.html",
        "answers": folder / "answers.html",
        "shift": folder / "shift.html",
        "suspect labels": folder / PAGE_NAME,
    }


@pytest.fixture(scope="module")
def violations(axe: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], list[list[str]]]:
    """Runs axe on the text of a page: impact, rule and the first element of each violation."""

    def run(text: str, dark: bool) -> list[list[str]]:
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)  # it forbids axe, rightly
        source = axe.replace("</script", "<\\/script")
        page = tmp_path_factory.mktemp("browser") / "page.html"
        page.write_text(
            text.replace("</body>", f"<script>{source}</script><script>{_RUN}</script></body>"), encoding="utf-8"
        )
        theme = ["--blink-settings=preferredColorScheme=0"] if dark else []
        done = browse(page, *theme, "--virtual-time-budget=60000", "--dump-dom", check=False)
        found = re.search(r'<pre id="axe">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, done.stderr[-500:]
        return json.loads(html.unescape(found[1]))

    return run


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["report", "comparison", "verification", "answers", "shift", "suspect labels"])
def test_axe_finds_nothing_serious_on_any_page(pages: dict[str, Path], violations, name: str, dark: bool):
    found = violations(pages[name].read_text(encoding="utf-8"), dark)
    assert [item for item in found if item[0] in ("serious", "critical")] == []


def test_axe_finds_what_is_wrong(violations):
    faint = "<p style='color:#bbb;background:#fff'>faint</p><img src=''>"
    page = f"<!doctype html><html lang=en><title>x</title><body>{faint}</body></html>"
    assert {"color-contrast", "image-alt"} <= {rule for _, rule, _ in violations(page, False)}
