#!/usr/bin/env python3
"""Run Perdition from a checkout: ``python perdition.py``, or a symlink to this file.

The name that this file is called by (``perdition.imap4``, ...) chooses the protocol, as it does
for the installed programs.
"""

import importlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "lib"))

if __name__ == "__main__":
    try:
        cli = importlib.import_module("perdition.cli")
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == "perdition":
            raise
        sys.exit(
            f"perdition: {sys.executable} has no package {error.name}: apt-get install"
            " python3-configobj python3-daemon python3-setproctitle for /usr/bin/python3,"
            " or pip install configobj python-daemon setproctitle"
        )
    sys.exit(cli.main())
else:
    # `import perdition`, run in the checkout's root, found this file before
    # lib/perdition: step aside, so that the importer gets the package.
    del sys.modules[__name__]
    importlib.import_module(__name__)
