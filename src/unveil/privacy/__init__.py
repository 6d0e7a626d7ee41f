"""Erase a person: from the archive, every version in DVC's cache and remotes, and what was made.

Takes members or a person; searches every kind of file that may hold a face, deletes what it finds,
and reports what it could not look into.
May import: common, config, data, registry.
"""
