"""Real Kubernetes clusters on one Linux machine, built from upstream's own modules, for demo and tests."""
