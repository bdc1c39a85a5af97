"""What the tools below hack/ share: the cache folder, its locks, timed progress and running commands.

The tools run from a checkout (`python hack/images ...`), so they put hack/ on the import path themselves.
"""
