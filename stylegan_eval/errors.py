"""The one exception that means: the user can fix this, and the message says how."""


class UserError(Exception):
    """Something the user handed in cannot be used.

    The message is one line: what was expected, what came, what to do. Command lines print it
    as ``error: ...`` and exit with status 1; no traceback.
    """


class UndefinedMetricError(UserError):
    """A metric that is not defined for these images; `stylegan-eval all` leaves it out."""
