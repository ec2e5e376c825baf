"""The errors a user can cause.

Each carries one clear sentence: what was wrong, where, and what to do. The command line prints that sentence and
exits with 1; any other exception is a defect of this package and keeps its traceback. Each class is also the
built-in error that fits, so that code which knows nothing of this package can catch it.
"""


class AupimoError(Exception):
    """Base of every error that a user can cause and mend.

    Example:
        >>> issubclass(InputError, ValueError) and issubclass(WriteError, OSError)
        True
    """


class InputError(AupimoError, ValueError):
    """A value, an array or a file's content is not what it must be."""


class MissingError(AupimoError, FileNotFoundError):
    """A file, a folder, a category or a data set is not there."""


class WriteError(AupimoError, OSError):
    """A file or a folder could not be written (read-only, full disk)."""


class DownloadError(AupimoError, ConnectionError):
    """A download failed: no network, a server's refusal, or other bytes than were promised."""
