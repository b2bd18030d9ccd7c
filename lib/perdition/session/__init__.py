"""A client's connection until it is logged in."""
