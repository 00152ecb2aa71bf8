"""Side-by-side runs against peers: `python -m bench` from the repository's root."""
