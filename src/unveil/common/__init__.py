"""Shared utilities: errors, atomic file writes, locks, paths, CSV tables, statistics, metrics.

Independent of faces, networks and servers.
May import: nothing.
"""
