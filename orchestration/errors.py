"""The one exception that commands show to people: a single clear line that says what to do."""


class TierhouseError(Exception):
    """A failure a person can act on. Its message is one line; the command line prints it and exits 1."""
