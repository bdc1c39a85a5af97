"""helm and kubectl for demo and tests, of one fixed version, from a package that carries the upstream programs."""
