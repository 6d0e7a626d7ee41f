"""Training speed, and where the time goes.

Compares unveil's training with the usual Keras training (`baseline`), with a backbone that runs in
every epoch, with variants that leave out one part (`variants`), with the peak FLOP/s of the machine
(`peak_flops`), and over growing numbers of rows. Each variant is a process of its own
(`variant_worker`); `alternating_runs` alternates them epoch by epoch, so that other load on the
machine affects all alike. Command: ``unveil bench train``.
"""
