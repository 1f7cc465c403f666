"""The examples of docs/library.md run, one after another, as a reader would type them."""

import re
import shutil
from pathlib import Path

import pytest

from pneumocli.run_folder import RunFolder
from tests.conftest import copy_of

PAGE = Path(__file__).parents[2] / "docs" / "library.md"


@pytest.mark.slow
def test_the_examples_run_in_their_order(
    trained: RunFolder, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    shutil.copytree(phantoms, tmp_path / "films")
    copy_of(trained, tmp_path / "runs" / "scratch")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(names["table"]) == 40
    assert names["again"].config().seed == 1
    assert "no run folder at runs" in capsys.readouterr().out
