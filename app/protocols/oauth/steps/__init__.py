"""The checks of an authorization request, one thought per file; `table.py` orders them."""
