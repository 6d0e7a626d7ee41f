"""A registered model -> a bundle: ONNX, card, README, and the proof that it answers alike.

Takes ``model.keras`` and its report; gives a folder that `unveil.inference` loads anywhere.
May import: common, config, data, evaluation, inference, networks, registry, training.
"""
