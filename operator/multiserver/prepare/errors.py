"""What the preparation of a site raises."""


class PrepareError(Exception):
    """The site cannot start like this. The text is a plain sentence: what, where, and the way out."""
