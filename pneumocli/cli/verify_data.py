"""``pneumo verify-data``."""

import typer

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.core.config import VerifyDataConfig

EXIT_PROBLEMS = 3


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "verify-data", VerifyDataConfig, json=True)
    def verify_data(config: VerifyDataConfig, output: Output) -> int:
        """Check a data folder: its release, and every film in it.

        Problems end with exit code 3: films missing, extra or in another split than the recognised release has them,
        unreadable files, labels that contradict names, a patient or identical pictures across splits or classes.
        Given a run's manifest.csv, proves that its splits are disjoint and its films unchanged.
        """
        from pneumocli.cli.verify_data_tables import verification_table
        from pneumocli.verification.verify import verify_data

        result = verify_data(config, output.listener)
        output.show(result, verification_table)
        return EXIT_PROBLEMS if result.problems else 0
