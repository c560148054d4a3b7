"""Operators' queries and commands."""
