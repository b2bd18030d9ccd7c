"""What all tests share."""

import os

from hypothesis import settings

# How long an example takes says how busy the machine is. In CI the examples are those of the time
# before: what fails there is the change's fault. Everywhere else new ones are tried.
settings.register_profile("any machine", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("any machine")
