"""Octets both ways, once a client is logged in."""
