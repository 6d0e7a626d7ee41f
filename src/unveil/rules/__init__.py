"""The data validation rules, with their bounds and policies.

Defines the typed entries of ``rules`` in params.yaml and the Great Expectations expectation of
each rule. `unveil.quality` runs them.
May import: common.
"""
