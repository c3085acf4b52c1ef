"""The one error that a person is meant to read: what was wrong, where, and what to do."""


class UserError(Exception):
    """Bad input or a missing prerequisite. The command line prints it and exits with 2."""
