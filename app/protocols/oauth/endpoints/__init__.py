"""Endpoints beside authorization and token, one file each."""
