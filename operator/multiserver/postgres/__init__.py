"""Thin adapter to PostgreSQL: connect, run statements with deadlines, and speak of failures in one small tree."""
