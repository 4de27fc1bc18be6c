"""The checks of an authorization request, one thought per file; `table.py` says which endpoint makes which, and when."""
