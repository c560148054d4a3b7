"""The pure core: no pykka, lmdb, clock, thread or HTTP; `tests/test_layers.py` holds that."""
