"""What happens in a site's pod before its servers start: volumes made ready, nothing that exists ever overwritten.

Every step may be killed at any point and run again. What a step makes, it makes beside its place and moves there whole.
"""
