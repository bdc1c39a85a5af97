"""Builds the images `operator` and `site`, and the tree of the site's programs that tests on the host use."""
