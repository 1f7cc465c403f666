"""train.py: a run from first to last, and exactly the same run after a stop."""

import csv
import shutil
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from pneumocli.core.config import ResumeConfig, TrainConfig
from pneumocli.core.errors import DataError, DeviceError, ModelFileError, RunError, TrainingDiverged
from pneumocli.core.events import EpochFinished, Event, Remark, RunStarted
from pneumocli.core.records import EpochRecord
from pneumocli.data.manifest import Manifest
from pneumocli.model.device import cpu_multiplies_bf16
from pneumocli.model.network import DeployableNet, build_network
from pneumocli.model.weights import load_best
from pneumocli.run_folder import RunFolder
from pneumocli.training.dataset import _check_and_describe_split, prepare_again
from pneumocli.training.loader import stacked
from pneumocli.training.train import resume, train, train_until_done
from tests.conftest import copy_of, tiny
from tests.data.test_splits import film
from tests.training.test_augmentation import OFF_BY

RUN_FILES = {
    "MODEL_CARD.md", "best.pt", "config.json", "curves.png", "environment.json", "history.csv", "last.pt",
    "manifest.csv", "model-card.html", "model.onnx", "result.json", "training-batch.png",
}  # fmt: skip


class Stop(Exception):
    """Ends a training from outside, as a kill between two epochs would."""


def stopping_after(epoch: int):
    def listen(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.record.epoch == epoch:
            raise Stop

    return listen


def stopped(config: TrainConfig, epoch: int) -> Path:
    with pytest.raises(Stop):
        train(config, stopping_after(epoch))
    assert config.run_dir is not None
    return config.run_dir


@pytest.fixture(scope="module")
def begun_once(phantoms: Path, made_once) -> Path:
    """A run stopped after the first of its two epochs: read it, never change it (copy it first)."""
    return made_once("begun", lambda folder: stopped(tiny(phantoms, folder), 1))


def weights_of(run: Path, file: str = "best.pt") -> dict[str, torch.Tensor]:
    if file == "average":
        return torch.load(run / "last.pt", weights_only=True).get("average", {})
    loaded = torch.load(run / file, weights_only=True)
    return loaded["weights"] if file == "best.pt" else loaded["model"]


def assert_same_run(one: Path, other: Path) -> None:
    """Bit-identical weights and, times aside, history, in the columns that the first run's has."""
    for file in ("best.pt", "last.pt", "average"):
        ours, theirs = weights_of(one, file), weights_of(other, file)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), file
    ours, theirs = timeless(one), timeless(other)
    assert ours == [{name: row[name] for name in mine} for mine, row in zip(ours, theirs, strict=True)]


def timeless(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as lines:
        return [
            {name: value for name, value in row.items() if name not in ("seconds", "images_per_second")}
            for row in csv.DictReader(lines)
        ]


def test_a_run_folder_holds_exactly_what_the_contract_says(trained: RunFolder):
    assert {item.name for item in trained.path.iterdir()} - {"evaluations"} == RUN_FILES
    header = (trained.path / "history.csv").read_text().splitlines()[0]
    assert (
        header == "epoch,train_loss,val_loss,val_accuracy,val_auroc,learning_rate,seconds,images_per_second,"
        "val_hard_sensitivity,val_hard_specificity,val_hard_balanced_accuracy,val_hard_auroc"
    )
    assert (trained.path / "manifest.csv").read_text().splitlines()[0] == "image,label,kind,patient,split,sha256"
    result = trained.result()
    assert result.num_epochs == 2
    assert set(result.sha256) == {"best.pt", "model.onnx"}
    assert set(result.time_shares) == {"decode", "wait", "compute", "validate", "save", "finish"}
    assert sum(result.time_shares.values()) == pytest.approx(1)
    assert trained.config().image_size == 64


def test_best_weights_load_into_torchvisions_network_as_they_are(trained: RunFolder):
    network = resnet18(num_classes=2)
    network.load_state_dict(torch.load(trained.best_file, weights_only=True)["weights"])
    weights, card = load_best(trained.best_file)
    assert card.best_epoch == trained.result().best_epoch
    assert card.input_range is not None
    assert all(tensor.is_contiguous() for tensor in weights.values())


def test_last_pt_holds_plain_data_only(trained: RunFolder):
    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str | int) and plain(item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return all(map(plain, value))
        return value is None or isinstance(value, torch.Tensor | str | int | float | bool)

    loaded = torch.load(trained.checkpoint_file, weights_only=True)
    assert plain(loaded)
    network = resnet18(num_classes=2)
    network.load_state_dict(loaded["model"])


def test_no_patient_is_on_two_sides(trained: RunFolder):
    manifest = trained.manifest()
    sides = [{row.patient for row in manifest.of(split).rows} for split in ("train", "val")]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]


@pytest.mark.slow
def test_golden_losses_of_seed_0(phantoms: Path, tmp_path: Path):
    """A change of these numbers is a change of the training: it needs its reason in the commit that makes it.

    At a small learning rate, because Adam's first steps are signs of gradients: at the usual one a rounding that
    another processor does differently moves the loss by a tenth.
    """
    run = stopped(tiny(phantoms, tmp_path / "run", learning_rate=1e-5), 1)
    (record,) = RunFolder(run).history()
    np.testing.assert_allclose([record.train_loss, record.val_loss], GOLDEN, rtol=5e-3)


GOLDEN = [0.7368, 0.7053]


ALTERED: dict[str, object] = {"tone": 0.2, "noise": 4, "sharpness": 1, "jpeg_quality": 40, "resample": 0.5}
ROBUST: dict[str, object] = {"recipe": "robust", "weight_decay": 0.05, "label_smoothing": 0.1, "image_size": 32} | {
    "crop_scale": 0.3,
    "mirror": False,
    **ALTERED,
}


@pytest.fixture(scope="module")
def robust_once(phantoms: Path, made_once) -> Path:
    """A run of the robust recipe stopped after the first of its two epochs: read it, never change it."""
    return made_once("robust", lambda folder: stopped(tiny(phantoms, folder, **ROBUST), 1))


@pytest.mark.slow
def test_the_average_is_validated_and_kept_and_last_pt_holds_both(robust_once: Path):
    last = torch.load(robust_once / "last.pt", weights_only=True)
    run = RunFolder(robust_once)
    assert not torch.equal(last["average"]["fc.weight"], last["model"]["fc.weight"])
    weights, card = load_best(run.best_file)
    assert card.best_epoch == 1
    assert all(torch.equal(weights[name], tensor) for name, tensor in last["average"].items())
    network = resnet18(num_classes=2)
    network.load_state_dict(last["average"])
    films = prepare_again(run.config(), run.manifest(), lambda _: None)
    with torch.no_grad():
        logits, _, _ = DeployableNet(network).eval()(stacked(films.val_films, list(range(len(films.val_films)))))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(films.val_labels))
    assert float(loss) == pytest.approx(run.history()[-1].val_loss, rel=1e-4)


@pytest.mark.slow
def test_history_records_the_rate_that_was_used(robust_once: Path):
    # 54 films in batches of 8 are 7 steps an epoch, 14 in all: one warms up, then 5 of 13 are past
    rates = [record.learning_rate for record in RunFolder(robust_once).history()]
    assert rates == pytest.approx([1e-3 * (1 + np.cos(np.pi * 5 / 13)) / 2])
    groups = torch.load(robust_once / "last.pt", weights_only=True)["optimizer"]["param_groups"]
    assert [group["lr"] for group in groups] == [rates[-1]] * 2
    assert [group["weight_decay"] for group in groups] == [0.05, 0]


@pytest.mark.slow
def test_the_robust_epoch_after_a_stop_equals_an_uninterrupted_one(robust_once: Path, phantoms: Path, tmp_path: Path):
    """The learning rate, the average and the optimiser go on where they were."""
    whole = stopped(tiny(phantoms, tmp_path / "whole", **ROBUST), 2)
    shutil.copytree(robust_once, tmp_path / "parts")
    with pytest.raises(Stop):
        resume(ResumeConfig(resume=tmp_path / "parts"), stopping_after(2))
    assert_same_run(whole, tmp_path / "parts")


@pytest.mark.slow
def test_a_checkpoint_without_the_average_that_the_settings_ask_for_is_refused(robust_once: Path, tmp_path: Path):
    shutil.copytree(robust_once, tmp_path / "run")
    content = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    del content["average"]
    torch.save(content, tmp_path / "run" / "last.pt")
    with pytest.raises(ModelFileError, match="holds no averaged weights"):
        resume(ResumeConfig(resume=tmp_path / "run"))


@pytest.mark.slow
def test_the_epoch_after_a_stop_equals_an_uninterrupted_one(trained: RunFolder, begun_once: Path, tmp_path: Path):
    """What the slow tests below show with other settings, and those of interruptions of whole runs with their files."""
    shutil.copytree(begun_once, tmp_path / "parts")
    with pytest.raises(Stop):
        resume(ResumeConfig(resume=tmp_path / "parts"), stopping_after(2))
    assert_same_run(trained.path, tmp_path / "parts")


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"class_weights": "balanced", "accumulate": 2, "patience": 5}, id="weighted"),
        pytest.param({"freeze": "backbone"}, id="frozen"),
        pytest.param({"recipe": "robust", "weight_decay": 0.01, "label_smoothing": 0.1}, id="robust"),
        pytest.param({"recipe": "robust", "freeze": "backbone"}, id="robust, frozen"),
        pytest.param({"cache": False, "fit": "pad"}, id="uncached"),
        pytest.param({"compile": True, "batch_size": 8}, id="compiled"),
        pytest.param(
            {"precision": "bf16"},
            id="bf16",
            marks=pytest.mark.skipif(cpu_multiplies_bf16() is False, reason="takes minutes on a CPU without AMX"),
        ),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(settings: dict[str, object], phantoms: Path, tmp_path: Path):
    settings = {"image_size": 32} | settings
    whole = stopped(tiny(phantoms, tmp_path / "whole", **settings), 2)
    parts = stopped(tiny(phantoms, tmp_path / "parts", **settings), 1)
    with pytest.raises(Stop):
        resume(ResumeConfig(resume=parts), stopping_after(2))
    assert_same_run(whole, parts)


@pytest.mark.slow
def test_low_memory_trains_the_same_network(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pneumocli.training.loop.has_memory_to_keep", lambda _: True)
    kept = stopped(tiny(phantoms, tmp_path / "kept"), 1)
    frugal = stopped(tiny(phantoms, tmp_path / "frugal", low_memory=True), 1)
    assert_same_run(kept, frugal)


@pytest.mark.slow
@pytest.mark.parametrize("altered", [{}, ALTERED], ids=["assignment", "altered"])
def test_resume_is_exact_with_workers(altered: dict[str, object], phantoms: Path, tmp_path: Path):
    """And with another number of them; films of 64 px, of which an epoch outlasts the start of the workers."""
    whole = stopped(tiny(phantoms, tmp_path / "whole", **altered), 2)
    for workers in (1, 4):
        parts = stopped(tiny(phantoms, tmp_path / f"parts-{workers}", workers=workers, **altered), 1)
        with pytest.raises(Stop):
            resume(ResumeConfig(resume=parts), stopping_after(2))
        assert_same_run(whole, parts)


@pytest.mark.slow
@pytest.mark.skipif(OFF_BY > 0, reason="torch resizes 8-bit pictures in floats on this CPU: pixels may be a level off")
def test_films_resized_on_the_device_train_the_same_network(
    trained: RunFolder, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What a GPU does with crops, done by the CPU."""
    monkeypatch.setattr("pneumocli.training.loop.where_to_resize", lambda *_: "device")
    run = stopped(tiny(phantoms, tmp_path / "run"), 1)
    assert timeless(run) == timeless(trained.path)[:1]


def test_a_finished_run_is_found_finished_and_left_as_it_is(trained: RunFolder, tmp_path: Path):
    run = copy_of(trained, tmp_path / "copy")
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in run.path.iterdir()}
    run.write_config(run.config().model_copy(update={"data": tmp_path / "gone"}))  # what is done needs no films
    before["config.json"] = run.config_file.read_bytes(), run.config_file.stat().st_mtime_ns
    events: list[Event] = []
    config = tiny(tmp_path / "gone", run.path)
    assert train_until_done(config, events.append).path == run.path
    assert train_until_done(config, restarted=True).path == run.path
    assert resume(ResumeConfig(resume=run.path), restarted=True).path == run.path
    assert events == [Remark(f"{run.path} is finished: nothing is left to do")]
    assert {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in run.path.iterdir()} == before


@pytest.mark.slow
def test_more_epochs_continue_a_finished_run(trained: RunFolder, phantoms: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(trained.path, copy)
    events: list[Event] = []
    run = resume(ResumeConfig(resume=copy, epochs=3), events.append)
    assert [event.first_epoch for event in events if isinstance(event, RunStarted)] == [3]
    assert (len(run.history()), run.config().epochs, run.result().num_epochs) == (3, 3, 3)


@pytest.mark.slow
def test_what_a_kill_between_two_files_leaves_is_mended(trained: RunFolder, begun_once: Path, tmp_path: Path):
    parts = tmp_path / "parts"
    shutil.copytree(begun_once, parts)
    (parts / "best.pt").unlink()  # killed after last.pt of epoch 1, which is the best so far
    (parts / "history.csv").write_text("")
    resume(ResumeConfig(resume=parts))
    assert_same_run(trained.path, parts)


@pytest.mark.slow
def test_patience_stops_early(phantoms: Path, tmp_path: Path):
    run = train(tiny(phantoms, tmp_path / "run", epochs=30, patience=1, learning_rate=1e-6, image_size=32))
    result = run.result()
    assert result.stopped_early
    assert result.num_epochs == result.best_epoch + 1 < 30
    before = run.result_file.read_bytes()
    for epochs in (None, 40):
        with pytest.raises(RunError, match=r"it stopped early after .* \(--patience 1\)") as refusal:
            resume(ResumeConfig(resume=run.path, epochs=epochs))
        assert refusal.value.hint == f"pneumo train --like {run.path} --patience 2 begins anew with more patience"
    assert run.result_file.read_bytes() == before


@pytest.mark.long
@pytest.mark.slow
def test_a_phantom_task_is_learnt(tmp_path: Path):
    """The whole chain learns something: a fixed seed, a small set, and an AUROC that chance would not give."""
    from pneumocli.data.phantom import write_phantoms

    write_phantoms(tmp_path / "data", num_train=240, num_val=16, num_test=16)
    run = train(tiny(tmp_path / "data", tmp_path / "run", epochs=6, image_size=96, batch_size=16, val_fraction=0.1))
    auroc = run.result().val_auroc
    assert auroc is not None
    assert auroc > 0.85


@pytest.mark.slow
def test_transfer_starts_from_the_given_weights(phantoms: Path, tmp_path: Path):
    torch.save(resnet18(num_classes=1000).state_dict(), tmp_path / "imagenet.pth")
    settings = {"weights": tmp_path / "imagenet.pth", "freeze": "backbone", "image_size": 32}
    run = RunFolder(stopped(tiny(phantoms, tmp_path / "run", epochs=2, **settings), 1))
    first = torch.load(tmp_path / "imagenet.pth", weights_only=True)["conv1.weight"]
    assert torch.equal(weights_of(run.path)["conv1.weight"], first)
    assert run.config().learning_rate == 0.0001
    assert load_best(run.best_file)[1].initial_weights == "imagenet.pth"


@pytest.mark.slow
def test_scores_that_are_not_finite_stop_before_anything_is_written(phantoms: Path, tmp_path: Path):
    """BatchNorm's stored variance is used at validation alone: the training loss is as good as ever."""
    weights = build_network(0).state_dict()
    weights["bn1.running_var"][:] = -1e6
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(TrainingDiverged, match="the validation loss of epoch 1 is not finite"):
        train(tiny(phantoms, tmp_path / "run", weights=tmp_path / "w.pth", image_size=32, epochs=1))
    assert not (tmp_path / "run" / "history.csv").exists()


@pytest.mark.slow
def test_an_infinite_loss_stops_before_anything_is_written(phantoms: Path, tmp_path: Path):
    weights = build_network(0).state_dict()
    weights["fc.weight"] = torch.full_like(weights["fc.weight"], 3e38)
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(TrainingDiverged) as caught:
        train(tiny(phantoms, tmp_path / "run", weights=tmp_path / "w.pth", learning_rate=0.5, image_size=32))
    assert "epoch 1 is not finite at learning rate 0.5" in caught.value.message
    assert "--lr 0.05" in (caught.value.hint or "")
    assert not (tmp_path / "run" / "last.pt").exists()
    assert not (tmp_path / "run" / "best.pt").exists()


def test_nothing_is_left_behind_where_training_cannot_begin(phantoms: Path, tmp_path: Path):
    run_dir = tmp_path / "run"
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    cases: list[tuple[dict[str, object], type[Exception]]] = [
        ({"data": tmp_path / "none"}, DataError),
        ({"weights": tmp_path / "broken.pth"}, ModelFileError),
        ({"device": "cuda:7"}, DeviceError),
        ({"precision": "fp16"}, DeviceError),
        ({"val_fraction": 0.01}, DataError),
    ]
    for settings, error in cases:
        with pytest.raises(error):
            train(tiny(phantoms, run_dir, **settings))
        assert not run_dir.exists()


def test_a_taken_run_folder_is_refused(phantoms: Path, tmp_path: Path):
    (tmp_path / "run").mkdir()
    events: list[Event] = []
    with pytest.raises(RunError, match="exists already"):
        train(tiny(phantoms, tmp_path / "run"), events.append)
    assert not events, "films were decoded before the refusal"
    assert not any((tmp_path / "run").iterdir())


@pytest.fixture
def damaged(phantoms: Path, tmp_path: Path) -> Path:
    """The phantoms with one truncated film."""
    folder = tmp_path / "damaged"
    shutil.copytree(phantoms, folder)
    film = sorted((folder / "train" / "PNEUMONIA").iterdir())[0]
    film.write_bytes(film.read_bytes()[:1000])
    return folder


@pytest.mark.parametrize("cache", [True, False])
def test_an_unreadable_film_is_named_and_refused(cache: bool, damaged: Path, tmp_path: Path):
    with pytest.raises(DataError) as caught:
        train(tiny(damaged, tmp_path / "run", cache=cache))
    name = sorted((damaged / "train" / "PNEUMONIA").iterdir())[0].name
    assert f"train/PNEUMONIA/{name}: is truncated" in caught.value.message
    assert "--skip-unreadable" in (caught.value.hint or "")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_skip_unreadable_leaves_it_out_and_records_it(damaged: Path, tmp_path: Path):
    events: list[Event] = []
    run = train(tiny(damaged, tmp_path / "run", epochs=1, image_size=32, skip_unreadable=True), events.append)
    assert run.result().num_unreadable == 1
    assert "is truncated" in run.result().unreadable[0]
    assert any(isinstance(event, Remark) and "1 unreadable" in event.text for event in events)
    assert not any("is truncated" in row.image for row in run.manifest().rows)


@pytest.mark.slow
def test_a_resumed_run_still_knows_what_was_left_out(damaged: Path, tmp_path: Path):
    settings = {"epochs": 2, "image_size": 32, "skip_unreadable": True}
    with pytest.raises(Stop):
        train(tiny(damaged, tmp_path / "run", **settings), stopping_after(1))
    result = resume(ResumeConfig(resume=tmp_path / "run")).result()
    assert result.num_unreadable == 1
    assert "is truncated" in result.unreadable[0]


@pytest.mark.slow
def test_official_validation_warns_that_it_is_too_small_to_select(phantoms: Path, tmp_path: Path):
    events: list[Event] = []
    run = train(tiny(phantoms, tmp_path / "run", epochs=1, image_size=32, val="official"), events.append)
    assert len(run.manifest().of("val")) == 8
    assert any(isinstance(event, Remark) and "too few to select" in event.text for event in events)


def films_of_a_table(num_val: int) -> Manifest:
    rows = (
        film(f"{kind}:{split}{n}", kind, split, n)
        for split, count in (("train", 200), ("val", num_val))
        for n, kind in zip(range(count), cycle(("normal", "virus")), strict=False)
    )
    return Manifest(Path("films"), tuple(rows))


@pytest.mark.parametrize(("num_val", "too_few"), [(8, True), (99, True), (100, False), (500, False)])
def test_given_validation_films_are_too_few_only_where_one_of_them_decides(num_val: int, too_few: bool):
    events: list[Event] = []
    config = TrainConfig.model_validate({"manifest": "films.csv", "val": "official"})
    _check_and_describe_split(config, films_of_a_table(num_val), 0.2, events.append)
    assert any("too few to select" in str(event) for event in events) == too_few


@pytest.mark.parametrize("settings", [{"manifest": "films.csv"}, {}])
def test_only_of_a_table_its_own_validation_films_are_proposed(settings: dict[str, str]):
    events: list[Event] = []
    _check_and_describe_split(TrainConfig.model_validate(settings), films_of_a_table(100), 0.4, events.append)
    (said,) = [event.text for event in events if isinstance(event, Remark) and "share of the patients" in event.text]
    assert ("(--val official takes these alone)" in said) == bool(settings)


class TestResumeRefuses:
    @pytest.fixture
    def begun(self, begun_once: Path, phantoms: Path, tmp_path: Path) -> Path:
        """A copy of a run after its first epoch, with its own copy of the films."""
        shutil.copytree(phantoms, tmp_path / "data")
        shutil.copytree(begun_once, tmp_path / "run")
        run = RunFolder(tmp_path / "run")
        run.write_config(run.config().model_copy(update={"data": tmp_path / "data"}))
        return run.path

    def refused(self, run: Path, error: type[Exception] = RunError, **settings: object) -> str:
        with pytest.raises(error) as caught:
            resume(ResumeConfig.model_validate({"resume": run, **settings}))
        return str(caught.value)

    def test_changed_and_missing_films(self, begun: Path, tmp_path: Path):
        films = sorted((tmp_path / "data" / "train" / "NORMAL").iterdir())
        shutil.copy(films[1], films[0])
        assert "1 of 80 have another content" in self.refused(begun)
        films[0].unlink()
        assert "1 of 80 are gone" in self.refused(begun)

    def test_a_damaged_checkpoint(self, begun: Path):
        file = begun / "last.pt"
        file.write_bytes(file.read_bytes()[:-5000])
        assert "last.pt is damaged" in self.refused(begun, ModelFileError)

    def test_a_run_without_an_epoch(self, begun: Path):
        (begun / "last.pt").unlink()
        assert "before its first epoch was done" in self.refused(begun)

    def test_a_run_in_use(self, begun: Path):
        with RunFolder(begun).locked():
            assert "another process is training" in self.refused(begun)

    @pytest.mark.slow
    def test_fewer_epochs_than_done(self, begun: Path):
        resume(ResumeConfig(resume=begun))
        assert "has 2 epochs already" in self.refused(begun, epochs=1)
        assert "has finished its 2 epochs" in self.refused(begun)

    def test_what_is_no_run(self, tmp_path: Path):
        assert "no run folder" in self.refused(tmp_path / "none")
        (tmp_path / "empty").mkdir()
        assert "no run folder" in self.refused(tmp_path / "empty")


def record(auroc: float | None, loss: float) -> EpochRecord:
    return EpochRecord(
        epoch=1, train_loss=1, val_loss=loss, val_accuracy=0.5, val_auroc=auroc, learning_rate=1, seconds=1,
        images_per_second=1,
    )  # fmt: skip


def test_the_best_epoch_rule():
    assert record(0.5, 1).beats(None)
    assert record(0.9, 2).beats(record(0.8, 1))
    assert not record(0.8, 1).beats(record(0.9, 2))
    assert record(0.9, 1).beats(record(0.9, 2))
    assert not record(0.9, 1).beats(record(0.9, 1))
    assert record(None, 1).beats(record(None, 2))
