"""What `mkdocs.yml` needs beside MkDocs: two hooks, which build the site from the repository as it is."""
