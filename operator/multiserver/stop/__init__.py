"""Stopping a site's server in order, however its peers are: what Kubernetes runs before it ends the container."""
