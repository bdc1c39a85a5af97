"""The machine below a site: its volumes and its disk arrays."""
