"""The board's pages and their data as JSON, from what the workers saw last; a module a page."""
