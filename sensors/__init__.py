"""WHEN jobs run: schedules and sensors.

Belongs here: schedules per connection, sensors that ask the store one question. Not here: the jobs (assets/).
"""
