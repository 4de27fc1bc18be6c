"""Watchword: an OAuth 2.0 and OpenID Connect authorization server for people, services and AI agents."""

__version__ = "0.1.0"
