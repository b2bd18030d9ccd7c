"""Is the fuzzer, for `fuzzer`: python inside.py MODULE NAME [OPTION_OF_LIBFUZZER ...]."""

import shlex
import sys
from pathlib import Path

import atheris

HERE = Path(__file__).resolve().parent
sys.path[0:1] = [str(HERE.parents[1] / "lib"), str(HERE.parent)]

with atheris.instrument_imports(include=["perdition"]):
    from fuzz.target import targets_of

    MODULE, NAME = sys.argv[1:3]
    TARGET = targets_of(MODULE)[NAME]

# libFuzzer gives this to a shell where it needs another process, with its options behind it.
AGAIN = shlex.join([sys.executable, __file__, MODULE, NAME])
atheris.Setup([AGAIN, *sys.argv[3:]], TARGET)
atheris.Fuzz()
