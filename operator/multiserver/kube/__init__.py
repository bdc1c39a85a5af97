"""A thin adapter to the Kubernetes API."""
