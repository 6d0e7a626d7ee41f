"""Packed faces -> a trained network: two-stage training, checkpoints, devices.

Takes one architecture of params.yaml and the packed arrays; writes ``model.keras``, ``history.csv``
and ``run.json``. Interrupted runs resume from the last completed epoch.
May import: common, config, data.
"""
