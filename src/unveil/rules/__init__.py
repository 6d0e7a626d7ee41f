"""The rules about data: what can be checked, with which bounds and policies.

Takes the entries of ``rules`` in params.yaml as they are; gives typed settings and the Great
Expectations suite that they stand for. `unveil.quality` runs them.
May import: common.
"""
