"""The apply file: a deployment described in one file, made true in one transaction (contracts, "Apply file")."""
