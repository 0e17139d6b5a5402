"""The board's pages: what they show, and how they look and behave in a real browser."""
