"""What the acme adds to a picture."""

from collections.abc import Iterator

from tracekit import Lane, Scene, lane


@lane(45, reads=("acme_doorbell",))  # where it stands among the others, and the tables that it reads
def doorbells(scene: Scene) -> Iterator[Lane]:
    """Show when the acme's doorbell was rung."""
    rung = scene.all("acme_doorbell")
    if rung is not None:
        yield Lane("doorbells", "acme_doorbell", marks=tuple(scene.moments(rung, "calm", "doorbell")))
