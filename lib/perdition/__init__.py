"""Perdition: a mail retrieval proxy for POP3, IMAP4 and ManageSieve."""

__version__ = "3.0.0"
