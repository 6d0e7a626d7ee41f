"""What every package uses: errors, atomic files, locks, paths, tables, statistics, metrics.

Takes plain values and paths, gives plain values. Knows nothing of faces, networks or servers.
May import: nothing.
"""
