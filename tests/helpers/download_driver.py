"""Runs the command line with the sources' addresses replaced: ``python download_driver.py URL ARGUMENTS...``.

For tests that need a process of its own: kills, prints, loaded modules. ``PNEUMO_TEST_MODULES`` names a file that gets
the loaded modules at the end.
"""

import atexit
import dataclasses
import os
import sys
from pathlib import Path

from kagglesdk import kaggle_env

from pneumocli.cli.app import main
from pneumocli.release import http, sources


def _note_modules() -> None:
    Path(os.environ["PNEUMO_TEST_MODULES"]).write_text("\n".join(sorted(sys.modules)))


if __name__ == "__main__":
    url = sys.argv.pop(1)
    kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = url
    sources.MENDELEY = dataclasses.replace(
        sources.MENDELEY, urls=(f"{url}/plain/ChestXRay2017.zip",), num_bytes=None, sha256=None
    )
    http.WAIT_SECONDS = (0.01,) * 5
    if "PNEUMO_TEST_MODULES" in os.environ:
        atexit.register(_note_modules)
    main()
