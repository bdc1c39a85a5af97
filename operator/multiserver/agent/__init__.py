"""The process beside each site's database: probes, report, backups on request, metrics."""
