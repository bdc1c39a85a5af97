"""The files of a site: Syncthing's identity, configuration, control and health."""
