"""The multi-server operator: sites that keep working when their line is down.

Folders are capabilities: `api` is the resource, `control` the loop, `resources` the child objects,
`replication`, `numbers`, `files` and `backup` what every site does, `health` what it means, `agent` the
process beside each database, `kube` and `postgres` thin adapters.
"""
