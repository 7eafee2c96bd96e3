"""Whoever wants to be told is told: signed, tried for a day and a half, written down, and told again by hand.

What happened is noted in the transaction in which it happens; one step turns notes into messages, another sends
them. A message is sent at least once and bears the same id each time.
"""
