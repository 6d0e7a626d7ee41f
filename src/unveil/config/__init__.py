"""Reading and validation of params.yaml, and the provenance of a run.

Parameters, architectures and recipes become frozen, type-checked dataclasses; an unknown key or a
bad value is a one-line error. The provenance is code, machine, data and parameters.
May import: common, networks, rules.
"""
