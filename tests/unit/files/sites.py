"""Site configurations for the pure tests of the files."""

from multiserver.api.siteconfig import Member, SiteConfig


def site_config(site: str = "berlin", names: tuple[str, ...] = ("berlin", "hamburg"), folders: int = 1) -> SiteConfig:
    """Give what a site is told; the device id of each member is its name in capitals."""
    members = tuple(
        Member(name=name, server_number=number, host=f"lab-{name}-server.default.svc", syncthing_device_id=name.upper())
        for number, name in enumerate(names, start=1)
    )
    return SiteConfig(
        cluster="lab",
        namespace="default",
        site=site,
        schema_site=names[0],
        database="app",
        owner="app",
        folders=tuple(f"folder{number}" for number in range(folders)),
        members=members,
    )
