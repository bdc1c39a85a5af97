"""What backup code raises."""

from collections.abc import Sequence


class BackupError(Exception):
    """A backup cannot be made, or the repository cannot be read. The text is a plain sentence for people."""


class ProgramError(BackupError):
    """A program could not start, ended with an error or took too long."""

    def __init__(self, message: str, code: int | None = None, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        """The exit code; None if it did not end by itself."""
        self.lines = tuple(lines)
        """The last lines that it wrote, its errors after its output."""
