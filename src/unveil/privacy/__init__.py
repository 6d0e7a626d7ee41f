"""Erase a person's images from the archive, from all versions in DVC, and from derived files.

Searches every type of file that may contain a face, deletes what it finds, and reports the files
that it could not search.
May import: common, config, data, registry, storage.
"""
