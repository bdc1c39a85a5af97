"""The resource: what a user declares and reads, and the names of everything made from it. Pure."""
