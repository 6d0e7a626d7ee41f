"""Shared utilities: errors, atomic file writes, locks, paths, CSV tables, statistics.

Also durations in words, the choice of the Keras backend and the settings of the memory allocator.
May import: nothing.
"""
