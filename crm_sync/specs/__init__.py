"""The rules of config/: their model (model.py), and the loader that reports every mistake at once (loader.py)."""
