"""Builders of every child object: one file per kind, specification in, plain dictionary out. Pure.

Nothing here reads a clock, a random number or the cluster, so the same input always gives the same object, and what the
API server would store is written as it stores it: canonical amounts, no empty maps or lists, no nulls.
"""
