"""The command line: `crm-sync ...`.

Belongs here: commands, their output for people and for programs, exit codes, the demo that tells the story.
Not here: what the commands do (flows/), rules (config/), Dagster (assets/; the demo talks to it as a subprocess).
"""
