"""Log lines to stderr: when in UTC, how bad, and a sentence. Transitions only, so that every line is worth reading."""

import logging
import sys
import time


def set_up(level: str = "INFO") -> None:
    """Send all log lines to stderr. The libraries speak only of what the agent does not say itself."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy, least in (("uvicorn", logging.WARNING), ("httpx", logging.WARNING), ("psycopg", logging.ERROR)):
        logging.getLogger(noisy).setLevel(least)
