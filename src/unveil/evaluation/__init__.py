"""A trained network and the test split -> metrics with intervals, plots, ranking, explanations.

Takes ``model.keras`` and packed faces; writes ``metrics.json`` with calibration, slices and
fairness, predictions, the comparison of all networks, and saliency maps.
May import: common, config, data, dataset, networks, rendering, training.
"""
