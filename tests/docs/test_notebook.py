"""The notebook runs on phantoms, as on Kaggle: without Google's modules; the cells that install are left out."""

import os
from pathlib import Path
from zipfile import ZipFile

import nbformat
import pytest
from nbclient import NotebookClient

from pneumocli.run_folder import RunFolder

FILE = Path(__file__).parents[2] / "docs" / "colab.ipynb"
PARAMETERS = (
    'DATA = r"{data}"\nRUNS = "runs"\nEPOCHS = 1\nIMAGE_SIZE = 64\nVAL_FRACTION = 0.25\n'
    'DEVICE = "cpu"\nWEIGHTS = r"{weights}"'
)


def tagged(cell: nbformat.NotebookNode, tag: str) -> bool:
    return tag in cell.metadata.get("tags", ())


def test_the_notebook_is_whole_and_says_what_it_is():
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    text = "\n".join(cell.source for cell in notebook.cells)
    for promised in ("nvidia-smi", "drive.mount", "KAGGLE_API_TOKEN", "kaggle.json", "/kaggle/input", "mendeley",
                     "until_done", "results.json", "files.download", "not for diagnosis"):  # fmt: skip
        assert promised in text
    assert [cell.id for cell in notebook.cells if cell.get("outputs")] == []
    (parameters,) = (cell for cell in notebook.cells if tagged(cell, "parameters"))
    names = [line.split(" = ")[0] for line in parameters.source.splitlines()]
    assert names == [line.split(" = ")[0] for line in PARAMETERS.splitlines()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the kernel's own machinery
def test_the_notebook_runs_on_phantoms(phantoms: Path, trained: RunFolder, tmp_path: Path):
    notebook = nbformat.read(FILE, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if not tagged(cell, "colab")]
    for cell in notebook.cells:
        if tagged(cell, "parameters"):
            cell.source = PARAMETERS.format(data=phantoms, weights=trained.best_file)
    kernel = {"env": os.environ | {"PYTHONPATH": str(FILE.parents[1])}}
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute(**kernel)
    assert (tmp_path / "runs" / "transfer" / "evaluations" / "test" / "report.html").is_file()
    with ZipFile(tmp_path / "results.zip") as archive:
        names = set(archive.namelist())
    assert {"comparison/comparison.html", "runs/transfer/model.onnx", "runs/scratch/MODEL_CARD.md"} <= names
    assert "runs/scratch/evaluations/test/report.html" in names
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert [output for output in shown if output.output_type == "error"] == []
    kinds = [set(output.get("data", {})) for output in shown]
    assert sum("image/png" in kind for kind in kinds) == 5
    assert sum("text/html" in kind for kind in kinds) >= 4, "results show themselves"
    assert any("transfer_learning_accuracy" in output.get("text", "") for output in shown)
