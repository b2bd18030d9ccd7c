"""Run the program: ``python -m perdition``."""

import sys

from perdition.cli import main

sys.exit(main())
