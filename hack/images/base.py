"""The base image: Debian's from its registry, or one of the same kind made here by debootstrap."""

from pathlib import Path

from hack.common.cache import remove, replaced_whole
from hack.common.command import CommandFailed, run, succeeds
from hack.common.packages import ensure_programs
from hack.common.progress import say, step
from hack.images.engine import Build, Engine

MIRROR = "http://deb.debian.org/debian"
SCRIPTS = Path("/usr/share/debootstrap/scripts")
DOCKERFILE = 'FROM scratch\nADD base.tar /\nCMD ["bash"]\n'
APT_CONFIGURATION = """\
// A suite in the making may stand on a mirror past the date until which its lists are valid.
Acquire::Check-Valid-Until "false";
"""


def base_image(engine: Engine, suite: str, folder: Path) -> str:
    """Return the name of a base image of the suite that the engine has; made ones are kept in `folder`.

    Raises CommandFailed if neither a registry nor Debian's mirror gives one.
    """
    made = f"localhost/multiserver/base:{suite}"
    if succeeds(engine.inspect(made)):
        return made
    official = f"docker.io/library/debian:{suite}-slim"
    try:
        with step(f"fetch {official}"):
            run(engine.pull(official))
        return official
    except CommandFailed:
        say(f"no registry gives {official}: a base image is made here")
    context = folder / suite
    with step(f"make {made} by debootstrap"):
        debootstrap(suite, context)
        run(engine.build(Build(context, image=made)))
    return made


def debootstrap(suite: str, context: Path) -> None:
    """Make the build context of a base image: Debian's essential packages and apt, as a tar, if not there yet."""
    if context.is_dir():
        return
    ensure_programs({"debootstrap": "debootstrap"})
    with replaced_whole(context) as unfinished:
        tree = unfinished / "tree"
        tree.mkdir(parents=True)
        # A debootstrap older than the suite does not know its name; sid's script does for every newer suite.
        script = suite if (SCRIPTS / suite).exists() else "sid"
        run(["debootstrap", "--variant=minbase", suite, str(tree), MIRROR, script])
        (tree / "etc/apt/apt.conf.d/multiserver").write_text(APT_CONFIGURATION)
        slim(tree)
        run(["tar", "--create", f"--file={unfinished}/base.tar", "--numeric-owner", f"--directory={tree}", "."])
        remove(tree)
        (unfinished / "Dockerfile").write_text(DOCKERFILE)


def slim(tree: Path) -> None:
    """Remove what Debian's own slim images do without: manuals, translations, logs and caches; licences stay."""
    for folder in ("doc", "i18n", "info", "locale", "man"):
        for path in [*(tree / "usr/share" / folder).rglob("*")]:
            if path.name != "copyright" and not path.is_dir():
                path.unlink()
    for leftover in ("var/cache/apt", "var/lib/apt/lists", "var/log/bootstrap.log", "var/log/dpkg.log"):
        remove(tree / leftover)
