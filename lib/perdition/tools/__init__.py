"""Programs beside the proxy."""
