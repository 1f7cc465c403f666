"""``pneumo demo``."""

import typer

from pneumocli.cli.options import command
from pneumocli.cli.output import Output
from pneumocli.core.config import DemoConfig
from pneumocli.core.events import FileWritten


def register(app: typer.Typer) -> None:
    """Adds the command to ``app``."""

    @command(app, "demo", DemoConfig)
    def demo(config: DemoConfig, output: Output) -> None:
        """Run everything on synthetic films, in about two minutes.

        Draws phantoms, trains two short runs from scratch that differ in the learning rate, evaluates both, predicts,
        and compares them. On the CPU, without network, in about two minutes.
        """
        from pneumocli.cli.compare import comparison_table
        from pneumocli.cli.evaluate import evaluation_tables
        from pneumocli.cli.predict import prediction_table
        from pneumocli.cli.render import where_to_look
        from pneumocli.demo import demo as run_demo

        done = run_demo(config, lambda event: None if isinstance(event, FileWritten) else output.listener(event))
        for evaluation in done.evaluations:
            output.print(evaluation_tables(evaluation))
        output.print(prediction_table(done.predictions))
        output.print(comparison_table(done.comparison))
        output.print(where_to_look(done.folder, done.runs))
