"""Simulated buyers, with the pace of people: for trying the service, for tests, and for measuring. Not used in production.

They know only the public API (`crowd.api`), as any client does, and the payment service's calls.
"""
