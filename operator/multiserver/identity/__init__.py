"""Keys, certificates and passwords of a cluster. Each is made once; the operator never makes another in its place."""
