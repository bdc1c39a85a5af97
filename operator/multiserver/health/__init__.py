"""From what was seen to conditions and plain sentences. Pure."""
