"""Benchmarks of the data stages, training, inference and the server on this machine.

Takes synthetic faces, the user's faces or a bundle; returns tables of times and ratios, and leaves
no files behind.
May import: common, config, data, dataset, inference, networks, training.
"""
