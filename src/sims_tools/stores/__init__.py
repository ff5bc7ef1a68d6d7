"""Stores larger than memory: rows read from them, finished parts of results, and results appended to them."""
