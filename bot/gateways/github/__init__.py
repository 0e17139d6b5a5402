"""GitHub, a file a subject: what the bot reads and writes in one deploy repository, as values."""
