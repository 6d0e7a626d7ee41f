"""How fast a training is, and why.

Against the way people mostly train (`usual`), against a backbone that runs in every epoch, without
one part or another (`own`), against what the machine can at most (`peak`), and with more rows.
Each way is a process of its own; `turns` lets them learn an epoch at a time, one after the other,
so that what else the machine does meets all alike. Command: ``unveil bench train``.
"""
