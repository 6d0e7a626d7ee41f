"""params.yaml -> frozen dataclasses; an unknown key or a bad value is one line.

Takes YAML text; gives parameters, architectures and recipes with their types checked, and the
provenance of a run (code, machine, data, parameters).
May import: common, networks, rules.
"""
