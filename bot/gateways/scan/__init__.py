"""Looking for code in a model's files without ever running or loading any of it."""

from bot.gateways.scan.files import scan_directory

__all__ = ["scan_directory"]
