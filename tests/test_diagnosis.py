"""``pneumo doctor``: what it finds, and that it shows no secret."""

import io
import json
from pathlib import Path

import pytest
import torch
import torchvision  # noqa: F401 - loaded before the fixtures change torch, which it looks at
from rich.console import Console
from typer.testing import CliRunner

from pneumocli import diagnosis as module
from pneumocli.cli.app import app
from pneumocli.cli.doctor import diagnosis_table
from pneumocli.diagnosis import Check, Diagnosis, doctor


def checks() -> dict[str, Check]:
    return {check.name: check for check in doctor().checks}


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_gpu: None):
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_a_machine_without_a_gpu_is_checked(tmp_path: Path):
    found = checks()
    assert torch.__version__ in found["torch"].text
    assert found["GPU"].state in ("note", "problem")
    assert found["GPU"].hint == "--device cpu works everywhere"
    assert found["file system"].state in ("ok", "note")
    assert list(tmp_path.iterdir()) == [], "something was left behind"


def test_credentials_are_found_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert checks()["Kaggle"].state == "note"
    file = tmp_path / ".kaggle" / "kaggle.json"
    file.parent.mkdir()
    file.write_text('{"username": "me", "key": "s3cret"}')
    file.chmod(0o644)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t0ken")
    found = checks()["Kaggle"]
    assert "KAGGLE_API_TOKEN" in found.text
    assert str(file) in found.text
    assert found.hint == f"chmod 600 {file}"
    whole = doctor().model_dump_json()
    assert "s3cret" not in whole
    assert "t0ken" not in whole


def test_the_cache_is_measured_and_can_be_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PNEUMO_CACHE", str(tmp_path / "cache"))
    assert checks()["cache"].hint is None
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "a.films").write_bytes(bytes(2_000_000))
    found = checks()["cache"]
    assert "2 MB in 1 file" in found.text
    assert found.hint == f"rm -r {tmp_path / 'cache'} clears it"


def test_a_card_that_the_installed_torch_has_no_kernels_for_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90"])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (3, 7))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla K80")
    found = checks()["GPU 0"]
    assert found.state == "problem"
    assert "Tesla K80 has compute capability 3.7" in found.text


def test_a_problem_ends_with_exit_code_1(monkeypatch: pytest.MonkeyPatch):
    done = CliRunner().invoke(app, ["doctor", "--json"])
    assert done.exit_code == 0
    assert {check["name"] for check in json.loads(done.stdout)["checks"]} > {"torch", "disk", "cache"}
    broken = Diagnosis(checks=(Check(name="torch", state="problem", text="cannot be loaded", hint="another build"),))
    monkeypatch.setattr("pneumocli.diagnosis.doctor", lambda: broken)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert done.stderr == "error: not all is well with this machine: torch\nhint: another build\n"


def test_a_folder_that_cannot_be_written_to_is_a_problem(monkeypatch: pytest.MonkeyPatch):
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.tempfile, "TemporaryDirectory", refuse)
    assert checks()["file system"].state == "problem"


def test_lines_fit_80_columns():
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(diagnosis_table(doctor()))
    assert max(map(len, console.export_text().splitlines())) <= 80
