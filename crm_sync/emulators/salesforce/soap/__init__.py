"""The SOAP API, partner form: signing in, and the calls about records that clients still make by it.

Belongs here: envelopes, and each call's way to what REST does. Not here: what becomes of records (records.py and its
neighbours one level up).
"""
