"""The options: declared once, read from the command line and a file."""


class HelpWanted(Exception):
    """``--help`` was given."""


class VersionWanted(Exception):
    """``--version`` was given."""


class ConfigError(Exception):
    """An option cannot be used.

    Attributes:
        explanation: one line that says where, which option, and why.
        message: the original's own lines for it, empty where it has none.
        usage: whether the usage text is shown, as the original does.
    """

    def __init__(self, explanation: str, message: str = "", *, usage: bool = False) -> None:
        super().__init__(explanation)
        self.explanation = explanation
        self.message = message
        self.usage = usage
