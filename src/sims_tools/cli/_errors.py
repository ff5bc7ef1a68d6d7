"""Failures as one line and an exit code: 1 for bad input, 2 for bad usage, 130 for Ctrl-C."""

from __future__ import annotations

from typing import Any

import click

_EXPECTED = (ValueError, TypeError, LookupError, OSError, RuntimeError, ArithmeticError)


class OneLineErrors(click.Group):
    """A command group that tells a user's mistake in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise click.exceptions.Exit(130) from None
        except _EXPECTED as error:
            raise click.ClickException(_one_line(error)) from error


def _one_line(error: BaseException) -> str:
    told = error.args[0] if isinstance(error, KeyError) and error.args else error
    return " ".join(str(told).split()) or type(error).__name__
