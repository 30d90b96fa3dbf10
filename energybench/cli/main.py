"""The command line: one module per command, errors as one line, exit codes as documented.

0 done; 2 usage; 3 no usable meter or permission; 4 data refused; 1 anything else; ``measure -- CMD`` and
``watch -- CMD`` pass on the command's own code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, Final

import typer

from energybench.cli import (
    calibrate,
    compare,
    compare_runs,
    count,
    doctor,
    estimate,
    experiments,
    fit,
    kernels,
    measure,
    profile,
    quickstart,
    replay,
    report,
    time_operators,
    watch,
)
from energybench.cli.many_values import spread_values
from energybench.cli.wrapped import WRAPPING_COMMANDS, split_wrapped
from energybench.errors import EnergybenchError

#: The parser's own complaints. Newer typer carries click within itself, older uses the package.
_USAGE_ERROR: Final[Any] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")
#: What a shell expects after Ctrl-C: 128 + SIGINT.
EXIT_INTERRUPTED: Final = 130

app = typer.Typer(
    name="energybench",
    help="Measure and predict the energy of neural networks.",
    epilog="Start with: energybench doctor, then energybench quickstart.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for module in (doctor, kernels, count, measure, calibrate, time_operators, replay, fit):
    module.register(app)
profile.register(app)
for module in (estimate, compare, compare_runs, watch, experiments, report, quickstart):
    module.register(app)


def _version(value: bool) -> None:
    if value:
        from energybench import __version__

        typer.echo(f"energybench {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Measure and predict the energy of neural networks."""


def _fail(message: str, code: int) -> int:
    print(f"energybench: {message}", file=sys.stderr)  # noqa: T201
    return code


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; never a traceback unless ENERGYBENCH_DEBUG is set."""
    own, wrapped = split_wrapped(list(argv), WRAPPING_COMMANDS)
    own = spread_values(own)
    command = typer.main.get_command(app)
    try:
        result = command.main(args=own, prog_name="energybench", standalone_mode=False, obj=wrapped)
    except typer.Abort:
        return _fail("interrupted; what was recorded so far is kept", EXIT_INTERRUPTED)
    except _USAGE_ERROR as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "energybench"
        return _fail(f"{' '.join(error.format_message().split()).rstrip('.')}; see: {path} --help", 2)
    except EnergybenchError as error:
        if os.environ.get("ENERGYBENCH_DEBUG"):
            raise
        return _fail(" ".join(str(error).split()), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; what was recorded so far is kept", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has gone; that is its choice and no error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("ENERGYBENCH_DEBUG"):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        return _fail(f"unexpected {type(error).__name__}: {text}; set ENERGYBENCH_DEBUG=1 for the traceback", 1)
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the ``energybench`` script."""
    sys.exit(run(sys.argv[1:]))
