"""Damaged and hostile files: thousands of mutated model files and films, each kind in a process of its own.

A process that crashes, hangs or eats memory fails the test with the seed of the file that did it; an answer or an error
of this package is both all right.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pneumocli.run_folder import RunFolder

pytestmark = pytest.mark.slow

# Run in a process of its own: argv are the kind, a whole file, a model file, how many.
DRIVER = """
import random, resource, sys, tempfile
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
import numpy as np
from pneumocli.core.errors import PneumoError
from pneumocli.inference.classifier import Classifier
from pneumocli.inference.scoring import score_films

kind, whole, model, count = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
content = whole.read_bytes()
pixels = np.zeros((1, 1, 64, 64), np.uint8)
classifier = Classifier.load(model)


def mutated(rng):
    data = bytearray(content)
    way = rng.randrange(5)
    if way == 0:
        return data[: rng.randrange(len(data))]
    if way == 1:
        start = rng.randrange(len(data))
        del data[start : start + rng.randrange(1, 5000)]
        return data
    if way == 2:
        start = rng.randrange(len(data))
        data[start:start] = rng.randbytes(rng.randrange(1, 200))
        return data
    # Headers and the graph decide what happens: most changes go there.
    near = min(len(data), 4000)
    for _ in range(rng.randrange(1, 12)):
        place = rng.randrange(near) if rng.random() < 0.4 else len(data) - 1 - rng.randrange(near)
        if way == 3 or rng.random() < 0.3:
            place = rng.randrange(len(data))
        data[place] = rng.choice((0, 255, 127, 128, rng.randrange(256), data[place] ^ (1 << rng.randrange(8))))
    return data


answers = errors = 0
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / f"mutated{whole.suffix}"
    for seed in range(count):
        print("seed", seed, file=sys.stderr, flush=True)
        file.write_bytes(mutated(random.Random(seed)))
        try:
            if kind == "film":
                (scored,) = score_films(classifier, [file])
                answers, errors = answers + (scored.error is None), errors + (scored.error is not None)
            else:
                Classifier.load(file).run(pixels)
                answers += 1
        except PneumoError:
            errors += 1
print(answers, errors)
"""


def fuzz(kind: str, whole: Path, model: Path, count: int, timeout: int = 300) -> tuple[int, int]:
    """How many files were answered and how many refused."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, kind, whole, model, str(count)],
        capture_output=True, text=True, timeout=timeout, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answers, errors = map(int, done.stdout.split())
    assert answers + errors == count
    return answers, errors


@pytest.mark.parametrize("ending", ["jpeg", "png", "tiff", "bmp", "dcm"])
def test_mutated_films(trained: RunFolder, phantoms: Path, tmp_path: Path, ending: str):
    from PIL import Image

    source = next((phantoms / "test/NORMAL").iterdir())
    film = tmp_path / f"film.{ending}"
    if ending == "dcm":
        film.write_bytes(dicom(source))
    else:
        Image.open(source).convert("L").save(film)
    _, errors = fuzz("film", film, trained.onnx_file, count=800)
    assert errors > 80


def dicom(source: Path) -> bytes:
    """A film as an uncompressed DICOM file."""
    import io

    import numpy as np
    from PIL import Image
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    pixels = np.asarray(Image.open(source).convert("L"))
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Modality, dataset.PhotometricInterpretation = "CR", "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = pixels.tobytes()
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=False)
    return file.getvalue()


@pytest.mark.long
def test_mutated_onnx_files(trained: RunFolder):
    _, errors = fuzz("model", trained.onnx_file, trained.onnx_file, count=1200, timeout=500)
    assert errors > 200


def test_mutated_weights_files(trained: RunFolder, tmp_path: Path):
    alone = tmp_path / "best.pt"  # outside of its run, or the recorded SHA-256 would refuse every change
    alone.write_bytes(trained.best_file.read_bytes())
    _, errors = fuzz("model", alone, trained.onnx_file, count=200, timeout=500)
    assert errors > 50


def test_a_model_file_that_is_code_does_not_run(tmp_path: Path):
    import pickle
    import zipfile

    from pneumocli.core.errors import ModelFileError
    from pneumocli.inference.classifier import Classifier

    trace = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {trace}",))

    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps({"weights": Evil(), "card": {}}, protocol=2))
    zipped = tmp_path / "zipped.pt"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weights": Evil(), "card": {}}, protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    for file in (plain, zipped):
        with pytest.raises(ModelFileError):
            Classifier.load(file)
    assert not trace.exists()
