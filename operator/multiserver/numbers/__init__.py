"""Number ranges: which numbers each site may give."""
