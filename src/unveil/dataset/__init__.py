"""The packed faces of a split, as training and evaluation read them.

Takes the arrays and the metadata that `unveil pack` wrote; gives memory-mapped images, labels and
the user's attribute columns. Separate from `data`, so that a change in ingest retrains nothing.
May import: common, config.
"""
