"""How fast the data stages, training, inference and the server are, measured on this machine.

Takes drawn faces or a bundle; gives tables of times and ratios, and leaves nothing behind.
May import: common, config, data, inference, networks, training.
"""
