"""Benchmarks: the gateway and its peers, one after the other, in one run on one machine (``make bench``)."""
