"""The volume of the files: Syncthing's keys, its configuration, and the folders of a new site.

A folder's marker (.stfolder) is never made here. Syncthing makes it itself when its index knows nothing of the folder
yet; where the index knows the folder and the marker is gone, the folder's content is lost, and a new marker would make
Syncthing delete the files at all other sites.
"""

import secrets
from pathlib import Path

from pydantic import ValidationError

from multiserver.api.siteconfig import SiteConfig
from multiserver.files.config import FilesConfig, desired
from multiserver.files.configfile import may_stay, render
from multiserver.files.identity import device_id
from multiserver.prepare.atomic import make_folder, write_if_different
from multiserver.prepare.errors import PrepareError
from multiserver.settings import SitePaths


def prepare_files(paths: SitePaths, listen: str | None = None) -> str:
    """Make Syncthing ready to start; give what was done, in words. Raises PrepareError.

    `listen` is another listening address than the pod's.
    """
    site = read_site_config(paths.site_config)
    wanted = desired(site, paths.folders, listen) if listen else desired(site, paths.folders)
    home = paths.syncthing_home
    make_folder(home)
    _copy_identity(paths, site)
    api_key = _api_key(paths.syncthing_api_key)
    for folder in wanted.folders:
        _make_new_folder(Path(folder["path"]), wanted)
    config = home / "config.xml"
    if may_stay(_text(config), paths.syncthing_socket, api_key):
        return f"configuration of Syncthing found in {config}"
    write_if_different(config, render(wanted, paths.syncthing_socket, api_key).encode())
    return f"configuration of Syncthing written to {config}"


def read_site_config(path: Path) -> SiteConfig:
    """Read `site.json`. Raises PrepareError if it is missing or not understood."""
    try:
        return SiteConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PrepareError(f"{path} cannot be read ({error.strerror}): is the site's ConfigMap mounted?") from error
    except ValidationError as error:
        raise PrepareError(f"{path} is not understood, operator and site image differ too much: {error}") from error


def _copy_identity(paths: SitePaths, site: SiteConfig) -> None:
    """Put the site's Syncthing key and certificate where Syncthing wants them, readable by its user only.

    Without them Syncthing would make an identity of its own that no peer knows.
    """
    try:
        certificate = (paths.identity / "syncthing.crt").read_bytes()
        key = (paths.identity / "syncthing.key").read_bytes()
    except OSError as error:
        raise PrepareError(f"{error.filename} cannot be read ({error.strerror}): is the Secret mounted?") from error
    if device_id(certificate) != site.own.syncthing_device_id:
        raise PrepareError(
            f"{paths.identity}/syncthing.crt is not the certificate of {site.own.syncthing_device_id}, which the peers "
            "expect: the Secret of another site is mounted, or it was changed; restore it"
        )
    write_if_different(paths.syncthing_home / "cert.pem", certificate)
    write_if_different(paths.syncthing_home / "key.pem", key)


def _api_key(path: Path) -> str:
    """Give the key of the REST interface, made once. It never leaves the volume."""
    key = _text(path).strip()
    if not key:
        key = secrets.token_urlsafe(32)
        write_if_different(path, key.encode())
    return key


def _make_new_folder(folder: Path, wanted: FilesConfig) -> None:
    """Make a folder with its patterns before the first scan. One that exists stays as it is."""
    if not folder.exists():
        make_folder(folder, mode=0o770)
        write_if_different(folder / ".stignore", "".join(f"{line}\n" for line in wanted.ignored).encode(), mode=0o660)


def _text(path: Path) -> str:
    """Give the text of a file, empty if it is missing or no text."""
    try:
        return path.read_text()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    except OSError as error:
        raise PrepareError(f"{path} cannot be read ({error.strerror}): repair the volume") from error
