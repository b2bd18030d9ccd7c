"""The program: from the name it was called by and its arguments to its exit status."""

import os
import sys
from collections.abc import Sequence

from perdition import __version__
from perdition.config import ConfigError, HelpWanted, VersionWanted
from perdition.config.command_line import load
from perdition.config.render import usage
from perdition.server.loading import StartFailed
from perdition.server.master import FAILURE, SUCCESS, Master

CHECK_UPGRADE = "--check_upgrade"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: the name called by, and the arguments; by default those of this process.

    Returns:
        The exit status: 0, or 255 where the start, or a look-up, failed.
    """
    fill_standard_streams()
    program, *arguments = sys.argv if argv is None else argv
    if program.endswith("__main__.py") or program.endswith("perdition.py"):
        program = "perdition"
    if CHECK_UPGRADE in arguments:
        # Before anything is read by the rules of now, which the files may not follow.
        from perdition.tools import check_upgrade  # noqa: PLC0415

        check_upgrade.run(program, [each for each in arguments if each != CHECK_UPGRADE])
        return SUCCESS
    return run(program, arguments)


def fill_standard_streams() -> None:
    """Open those of descriptors 0 to 2 that are closed: the next file would be one of them."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004 - standard error
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # Python has none for those that were closed.
    for number, name, mode in (0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def run(program: str, arguments: Sequence[str]) -> int:
    """Run the program by that name, with these arguments; its exit status."""
    loaded = None
    try:
        loaded = load(program, arguments)
        for warning in loaded.warnings:
            complain(program, f"warning: {warning}")
        if loaded.options.lookup:
            # Not imported, with what it needs, by the proxy itself.
            from perdition.server import lookup  # noqa: PLC0415

            return SUCCESS if lookup.run(loaded.options) else FAILURE
        master = Master(loaded.options)
        if loaded.options.check_config:
            for warning in master.check():
                complain(program, f"warning: {loaded.located(warning)}")
            return show(program, f"{loaded.options.config_file or 'no file'}: good\n")
        return master.run()
    except HelpWanted:
        return show(program, usage())
    except VersionWanted:
        return show(program, f"perdition {__version__}\n")
    except ConfigError as error:
        show_failure(program, error.message, str(error), with_usage=error.usage)
        return FAILURE
    except StartFailed as error:
        text = loaded.located(str(error)) if loaded else str(error)
        show_failure(program, "\n".join(error.lines), text, with_usage=error.usage)
        return FAILURE


def show(program: str, text: str) -> int:
    """What was asked for, on standard output; the exit status."""
    try:
        print(text, end="", flush=True)
    except OSError as error:
        complain(program, f"standard output: {error.strerror}")
        # What Python still has of it is not tried again.
        sys.stdout = None
        return FAILURE
    return SUCCESS


def show_failure(program: str, message: str, explanation: str, *, with_usage: bool) -> None:
    """The original's words, if it has any, its usage text if it shows that, and what is wrong."""
    if message:
        print(message, file=sys.stderr)
    if with_usage:
        print(usage(), file=sys.stderr)
    complain(program, explanation)


def complain(program: str, text: str) -> None:
    """One line on standard error."""
    print(f"{program.rpartition('/')[2]}: {text}", file=sys.stderr)
