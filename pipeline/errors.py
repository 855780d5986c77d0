"""The one exception that stands for a user's mistake."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line: which file or case, what was expected, what arrived, what to do.
    The command line prints it without a traceback.
    """
