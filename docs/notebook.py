"""The notebook for Colab and Kaggle, ``docs/colab.ipynb``, made from the cells below by ``python -m docs.generate``.

Cells tagged ``colab`` get what is installed already where a test runs the notebook, and are left out there; the cell
tagged ``parameters`` gets other values.
"""

import json
from typing import Any

CELLS: tuple[tuple[str, str, str], ...] = (  # kind, tag, text
    (
        "markdown",
        "",
        """# Pneumonia on chest X-rays: from scratch and by transfer
The course assignment with `pneumo`, on Colab or Kaggle. Run all cells; after a disconnect run all cells again: what is
finished is found, what was stopped goes on. **Not a medical device: not for diagnosis.**

Two CPU cores take about 4 minutes for an epoch: without a GPU set `EPOCHS = 6` and `IMAGE_SIZE = 112` below. Out of
memory: add `accumulate=2` to `pneumo.train`.""",
    ),
    ("markdown", "", "## 1. The machine"),
    ("code", "colab", "!nvidia-smi -L || echo 'no GPU: Runtime > Change runtime type > T4 GPU'"),
    (
        "code",
        "colab",
        """REPOSITORY = ""  # the address that you cloned pneumo from
assert REPOSITORY, "put the address of the repository between the quotes"
![ -d /tmp/pneumo-source ] || git clone -q $REPOSITORY /tmp/pneumo-source
!pip install -q /tmp/pneumo-source""",
    ),
    (
        "markdown",
        "",
        "Colab: runs are kept on Drive, so that a disconnect loses one epoch at most; the films stay on the machine's "
        "disk, since Drive is slow. Kaggle: runs are kept as the notebook's output.",
    ),
    (
        "code",
        "",
        """import os
import sys
from pathlib import Path

ON_COLAB = "google.colab" in sys.modules
if ON_COLAB:
    from google.colab import drive

    drive.mount("/content/drive")
    Path("/content/drive/MyDrive/pneumo").mkdir(exist_ok=True)
    os.chdir("/content/drive/MyDrive/pneumo")
elif Path("/kaggle/working").is_dir():
    os.chdir("/kaggle/working")""",
    ),
    (
        "code",
        "parameters",
        """DATA = "/content/chest_xray"
RUNS = "runs"
EPOCHS = 20
IMAGE_SIZE = 224
VAL_FRACTION = 0.1
DEVICE = "auto"
WEIGHTS = None  # a file of ResNet-18 weights; None: ImageNet's, fetched by torchvision""",
    ),
    (
        "markdown",
        "",
        """## 2. The films
In this order: Kaggle's own folder where it is mounted, what is there already, else a download of 2.3 GB. Kaggle usually
hands this set out without an account; with one, put the token under the key at the left of Colab as `KAGGLE_API_TOKEN`,
or upload `kaggle.json`. Where it refuses: `source="mendeley"`.""",
    ),
    (
        "code",
        "",
        """if ON_COLAB:
    from google.colab import userdata

    try:
        os.environ["KAGGLE_API_TOKEN"] = userdata.get("KAGGLE_API_TOKEN")
    except (userdata.SecretNotFoundError, userdata.NotebookAccessError):
        if Path("kaggle.json").exists():
            os.environ["KAGGLE_CONFIG_DIR"] = str(Path.cwd())""",
    ),
    (
        "code",
        "",
        """import pneumocli as pneumo

mounted = sorted(Path("/kaggle/input").glob("**/chest_xray/train")) if Path("/kaggle/input").is_dir() else []
if mounted:
    DATA = mounted[0].parent
elif not Path(DATA).is_dir():
    pneumo.download(data=DATA)  # source="mendeley" needs no account
pneumo.verify_data(DATA, quick=True)""",
    ),
    ("markdown", "", "## 3. From scratch"),
    (
        "code",
        "",
        """common = {"data": DATA, "epochs": EPOCHS, "image_size": IMAGE_SIZE, "val_fraction": VAL_FRACTION}
common |= {"device": DEVICE, "until_done": True}  # start, resume or find finished
scratch = pneumo.train(run_dir=f"{RUNS}/scratch", **common)
scratch""",
    ),
    ("code", "", 'from IPython.display import Image\n\nImage(scratch.path / "curves.png")'),
    ("markdown", "", "## 4. By transfer\nThe same network and films, from weights that another task has trained."),
    (
        "code",
        "",
        """start = {"pretrained": True} if WEIGHTS is None else {"weights": WEIGHTS}
transfer = pneumo.train(run_dir=f"{RUNS}/transfer", **start, **common)
transfer""",
    ),
    ("code", "", 'Image(transfer.path / "curves.png")'),
    (
        "markdown",
        "",
        "## 5. On the test films\nLook at them once, at the end. Below each number is its 95 % interval, by patient.",
    ),
    ("code", "", "pneumo.evaluate(scratch.path)"),
    ("code", "", "pneumo.evaluate(transfer.path)"),
    ("code", "", 'Image(transfer.path / "evaluations" / "test" / "confusion.png")'),
    ("code", "", 'Image(transfer.path / "evaluations" / "test" / "mistakes.png")'),
    ("markdown", "", "## 6. Is it better, or was it luck?"),
    ("code", "", 'pneumo.compare(scratch.path, transfer.path, output="comparison")'),
    ("markdown", "", "The assignment's `results.json`, in percent:"),
    ("code", "", 'print(Path("comparison/results.json").read_text())'),
    ("markdown", "", "## 7. One film, and where the network looked"),
    (
        "code",
        "",
        """film = next(path for path in sorted(Path(DATA, "test").glob("*/*")) if path.suffix == ".jpeg")
answers = list(pneumo.predict(film, run=transfer.path, explain="maps"))
print(answers[0].prediction, f"{answers[0].probability:.1%}")
Image(next(Path("maps").rglob("*.png")))""",
    ),
    ("markdown", "", "## 8. Take it home"),
    (
        "code",
        "",
        """from zipfile import ZIP_DEFLATED, ZipFile

with ZipFile("results.zip", "w", ZIP_DEFLATED) as archive:
    for wanted in ("comparison", f"{RUNS}/*/evaluations", f"{RUNS}/*/MODEL_CARD.md", f"{RUNS}/*/model.onnx"):
        for place in sorted(Path().glob(wanted)):
            for file in [place, *sorted(place.rglob("*"))]:
                archive.write(file)
if ON_COLAB:
    from google.colab import files

    files.download("results.zip")""",
    ),
)


def cell(number: int, kind: str, tag: str, text: str) -> dict[str, Any]:
    """One cell in the notebook's format."""
    made: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {"tags": [tag]} if tag else {},
        "source": text.splitlines(keepends=True),
    }
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def notebook() -> str:
    """``docs/colab.ipynb``."""
    content = {
        "cells": [cell(number, *one) for number, one in enumerate(CELLS)],
        "metadata": {
            "accelerator": "GPU",
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
