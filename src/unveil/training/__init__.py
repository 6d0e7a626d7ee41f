"""Packed faces -> a trained network: two-stage training, checkpoints, devices.

Takes one architecture of params.yaml and the packed arrays; writes ``model.keras`` and
``history.csv``. Interrupted runs resume from the last completed epoch.
May import: common, config, dataset.
"""
