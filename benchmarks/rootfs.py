"""The programs to measure: the site image's PostgreSQL, and beside it pglogical from the same Debian suite."""

from hack.common.command import CommandFailed
from tests.rootfs import IMAGE_MAJOR, Rootfs, ensure, extended

PACKAGE = f"postgresql-{IMAGE_MAJOR}-pglogical"
INSTALL = f"""\
apt-get update --quiet
DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends {PACKAGE}
"""


def with_pglogical() -> tuple[Rootfs, str]:
    """Return the programs, and why pglogical is not among them; the reason is empty if it is."""
    plain = ensure(IMAGE_MAJOR)
    try:
        return Rootfs(extended(plain.path, INSTALL)), ""
    except CommandFailed as error:
        return plain, f"{PACKAGE} does not install: {str(error).splitlines()[-1]}"
