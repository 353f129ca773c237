"""A plugin that is one file, as text, up to the name of its diagnosis: a grammar with one message of a ring."""

RING = '''
GRAMMAR = """
%import .common (BDF, DEC)
start: ring_stuck
// Tests.
ring_stuck: "ring " bdf ": queue " queue " made no progress"
bdf: BDF
queue: DEC // Number of the queue.
"""

@diagnosis("ring.stuck", code="RING-001", severity="high", record="dmesg")
def stuck'''
