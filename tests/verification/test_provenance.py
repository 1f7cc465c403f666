"""What predicts the class without the lungs: the probe, and encoder by class and split."""

import io
from pathlib import Path

import pytest
from PIL import Image

from pneumocli.core.config import VerifyDataConfig
from pneumocli.verification.provenance import judge_probe
from pneumocli.verification.records import EncoderCell, ShortcutProbe, Verification
from pneumocli.verification.verify import verify_data
from tests.helpers.released import film_bytes


def written(folder: Path, qualities: dict[str, tuple[int, ...]], films: int = 24) -> Path:
    """Films of both classes, the classes' films saved at the qualities in turn."""
    for place, (name, used) in enumerate(qualities.items()):
        for number in range(films):
            file = folder / "train" / name / f"{name[0]}{number}.jpeg"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture = Image.open(io.BytesIO(film_bytes(1000 * place + number, form="PNG")))
            picture.save(file, "JPEG", quality=used[number % len(used)])
    return folder


def verified(data: Path, **settings: object) -> Verification:
    return verify_data(VerifyDataConfig.model_validate({"data": data, **settings}))


def codes(result: Verification) -> set[str]:
    return {finding.code for finding in result.notes}


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Verification:
    """Each class saved at a quality of its own."""
    folder = tmp_path_factory.mktemp("leaking")
    written(folder, {"NORMAL": (90,), "PNEUMONIA": (50,)})
    return verified(folder, report=folder / "page.html")


def test_encoders_of_one_class_stand_out_and_are_noted(leaking: Verification):
    counts = {(cell.encoder, cell.label): (cell.num_images, cell.expected) for cell in leaking.encoders}
    assert counts == {
        ("JPEG Q-sum 736, JFIF 1x1", "NORMAL"): (24, 12.0),
        ("JPEG Q-sum 736, JFIF 1x1", "PNEUMONIA"): (0, 12.0),
        ("JPEG Q-sum 3688, JFIF 1x1", "NORMAL"): (0, 12.0),
        ("JPEG Q-sum 3688, JFIF 1x1", "PNEUMONIA"): (24, 12.0),
    }
    assert all(cell.stands_out for cell in leaking.encoders)
    # by hand: (24 - 12) / sqrt(12 * 1/2 * 1/2)
    assert [abs(cell.residual or 0) for cell in leaking.encoders] == pytest.approx([12 / 3**0.5] * 4)
    assert leaking.shortcut_probe is not None
    assert leaking.shortcut_probe.features["encoder"] == 1.0
    assert {"encoder", "shortcut-property"} <= codes(leaking)
    assert leaking.problems == ()


def test_the_page_shows_a_bar_for_each_encoder(leaking: Verification):
    page = (Path(leaking.folder) / "page.html").read_text()
    assert page.count('class="bar"') == 2
    assert page.count('class="normal out" style="width: 100.00%"') == 1
    assert page.count('class="pneumonia out" style="width: 100.00%"') == 1
    assert "gives the class away" in page


def test_qualities_that_both_classes_share_are_no_note(tmp_path: Path):
    result = verified(written(tmp_path, {"NORMAL": (90, 50), "PNEUMONIA": (90, 50)}))
    assert not any(cell.stands_out for cell in result.encoders)
    assert all(cell.residual == pytest.approx(0) for cell in result.encoders)
    assert "encoder" not in codes(result)
    assert result.shortcut_probe is not None
    assert result.shortcut_probe.features["encoder"] < 0.7


def test_one_encoder_has_no_residual(tmp_path: Path):
    result = verified(written(tmp_path, {"NORMAL": (75,), "PNEUMONIA": (75,)}, films=8))
    assert [(cell.residual, cell.stands_out) for cell in result.encoders] == [(None, False)] * 2
    assert "encoder" not in codes(result)
    assert result.properties[0].sharpness.least > 0


@pytest.mark.real_data
def test_the_release_was_saved_by_a_program_for_each_class(shared: Path):
    result = verified(shared / "data" / "chest_xray_mini")
    train = {(cell.encoder, cell.label): cell for cell in result.encoders if cell.split == "train"}
    normal: EncoderCell = train["JPEG Q-sum 330, JFIF 72x72", "NORMAL"]
    ill: EncoderCell = train["JPEG Q-sum 1858, JFIF 1x1", "PNEUMONIA"]
    assert (normal.num_images, ill.num_images, normal.stands_out, ill.stands_out) == (80, 78, True, True)
    assert {"encoder", "shortcut-property"} <= codes(result)
    by_class = {item.label: item.sharpness.mean for item in result.properties if item.split == "train"}
    assert by_class == pytest.approx({"NORMAL": 3.96, "PNEUMONIA": 2.63}, abs=0.01)


@pytest.mark.parametrize(
    ("auroc", "sharpness", "end"),
    [
        (0.53, 0.62, "little that a model could learn instead of lungs"),
        (0.53, 0.66, "a model can learn that instead of lungs"),
        (0.9, 0.62, "a model can learn that instead of lungs"),
    ],
)
def test_the_probe_warns_of_a_shortcut_where_there_is_one(auroc: float, sharpness: float, end: str):
    features = {"sharpness": sharpness, "brightness": 0.5}
    probe = ShortcutProbe(auroc=auroc, folds=5, split="train", num_images=9, num_patients=9, features=features)
    (verdict,) = judge_probe(probe)
    assert verdict.finding.text.endswith(f"(50% is chance; sharpness alone {sharpness:.1%}): {end}")
