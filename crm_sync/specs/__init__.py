"""The rules of config/: their model, and the loader that reports every mistake at once.

Belongs here: the shape of the rules (model.py), the words that they may use (vocabulary.py), reading and judging them
(loader.py and its readers), summaries for people (checking.py). Not here: applying rules (steps/), secrets and
addresses
(settings.py), printing (cli).
"""
