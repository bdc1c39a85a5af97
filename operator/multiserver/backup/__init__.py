"""Backups of a site: pgBackRest for the data, restic for the files, and what the repository says of them."""
