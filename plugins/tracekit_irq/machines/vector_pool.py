"""The x86 vector pool as a machine: the results of its operations (kernel/irq/matrix.c, arch/x86/kernel/apic/vector.c, since 4.15)."""

from dataclasses import dataclass, field

from tracekit import ENOSPC

OK = 0
Results = frozenset[int]
ANY: Results = frozenset({OK, ENOSPC})


@dataclass
class Slots:
    """Vectors of one CPU: still available, handed out, and set aside for managed irqs (of these, `managed_used` are handed out).

    `others`: vectors handed out that nobody follows one by one; they move with their CPU's.
    """

    available: int
    allocated: int = 0
    managed: int = 0
    managed_used: int = 0
    online: bool = True
    others: int = 0


@dataclass
class Irq:
    """What one irq holds: a global reservation, managed slots on CPUs, or a vector on one CPU. `stopped`: its last CPU is offline."""

    reserved: bool = False
    can_reserve: bool = True
    managed_on: tuple[int, ...] = ()
    cpu: int | None = None
    stopped: bool = False


@dataclass
class VectorPool:
    """Vectors of all CPUs. An operation changes the state and returns the set of results that are possible; usually one.

    A reservation only counts; it cannot fail (vector.c, reserve_irq_vector). A vector is taken at activation, from any online CPU if the
    wanted ones are full. Managed irqs take a slot on each CPU of their mask when they are allocated. `reserves`: since 4.15; before, or for
    an irq whose entry cannot be masked (plain MSI without mask bits) on every release, the vector is taken at allocation.
    """

    cpus: dict[int, Slots] = field(default_factory=dict)
    irqs: dict[int, Irq] = field(default_factory=dict)
    reserves: bool = True
    warnings: int = 0  # "Interrupt reservation exceeds available resources"
    broken: int = 0  # "Affinity broken due to vector space exhaustion"

    @property
    def available(self) -> int:
        """Return the vectors free on online CPUs: `global_avl`."""
        return sum(c.available for c in self.cpus.values() if c.online)

    @property
    def reserved(self) -> int:
        """Return the reservations not yet turned into a vector: `global_rsvd`."""
        return sum(i.reserved for i in self.irqs.values())

    def online(self, cpu: int, vectors: int, others: int = 0) -> list[int]:
        """Add a CPU with that many free vectors, or bring it back with those it had. Return the managed irqs that start again.

        A managed irq whose CPUs were all offline starts when one returns (kernel/irq/cpuhotplug.c, irq_affinity_online_cpu).
        """
        self.cpus.setdefault(cpu, Slots(vectors, others, others=others)).online = True
        started = [n for n, i in self.irqs.items() if i.stopped and cpu in i.managed_on]
        for irq in started:
            self.irqs[irq].stopped = False
            self.activate(irq)
        return started

    def stuck(self, cpu: int) -> tuple[int, int] | None:
        """Return the vectors of a CPU and those free on the others, where the first do not fit, so that it cannot go offline.

        Managed irqs do not count (arch/x86/kernel/apic/vector.c, lapic_can_unplug_cpu, since 4.15).
        """
        mine = self.cpus[cpu]
        tomove, left = mine.allocated - mine.managed_used, self.available - mine.available
        return (tomove, left) if tomove > left else None

    def offline(self, cpu: int) -> list[int]:
        """Take a CPU offline: its irqs move to other CPUs. Return the managed irqs that are shut down, since their mask has no other CPU.

        kernel/irq/cpuhotplug.c, irq_migrate_all_off_this_cpu, migrate_one_irq (managed irqs since 4.13).
        """
        mine = self.cpus[cpu]
        mine.online = False
        moving = [n for n, i in self.irqs.items() if i.cpu == cpu]
        for irq in moving:
            self.deactivate(irq)
            if OK not in self.activate(irq):
                self.irqs[irq].stopped = bool(self.irqs[irq].managed_on)
        self._spread(mine.others)
        mine.available, mine.allocated, mine.others = mine.available + mine.others, mine.allocated - mine.others, 0
        return [irq for irq in moving if self.irqs[irq].stopped]

    def _spread(self, count: int) -> None:
        """Move vectors that nobody follows to the CPUs with the most room."""
        for slots in sorted((c for c in self.cpus.values() if c.online), key=lambda c: -c.available):
            taken = min(count, slots.available)
            slots.available, slots.allocated, slots.others = slots.available - taken, slots.allocated + taken, slots.others + taken
            count -= taken

    def allocate(self, irq: int, *, maskable: bool = True) -> Results:
        """Allocate an irq: by a reservation, which cannot fail, or by a vector, which can."""
        self.irqs.setdefault(irq, Irq()).can_reserve = reserves = self.reserves and maskable
        return self.reserve(irq) if reserves else self.activate(irq)

    def reserve(self, irq: int) -> Results:
        """Reserve a slot in the global count. It never fails; it warns once when the count first exceeds `global_avl`."""
        if self.reserved == self.available:
            self.warnings += 1
        self.irqs.setdefault(irq, Irq()).reserved = True
        return frozenset({OK})

    def reserve_managed(self, irq: int, mask: tuple[int, ...]) -> Results:
        """Reserve a managed slot on each online CPU of the mask: all or none."""
        wanted = [c for c in mask if c in self.cpus and self.cpus[c].online]
        if any(self.cpus[c].available == 0 for c in wanted):
            return frozenset({ENOSPC})
        for c in wanted:
            self.cpus[c].available -= 1
            self.cpus[c].managed += 1
        self.irqs.setdefault(irq, Irq()).managed_on = tuple(wanted)
        return frozenset({OK})

    def activate(self, irq: int, *, early: bool = False, wanted: tuple[int, ...] = ()) -> Results:
        """Activate an irq. Early: the parking vector. Else a managed slot, a vector of the wanted CPUs, or of any where those are full."""
        state = self.irqs.setdefault(irq, Irq())
        if early or state.cpu is not None or state.stopped:
            return frozenset({OK})
        return self._managed(state) if state.managed_on else self._any(state, wanted)

    def _managed(self, state: Irq) -> Results:
        free = [c for c in state.managed_on if self.cpus[c].online and self.cpus[c].managed_used < self.cpus[c].managed]
        if not free:
            return frozenset({ENOSPC})
        cpu = min(free, key=lambda c: (self.cpus[c].managed_used, c))
        self.cpus[cpu].managed_used += 1
        self.cpus[cpu].allocated += 1
        state.cpu = cpu
        return frozenset({OK})

    def _any(self, state: Irq, wanted: tuple[int, ...]) -> Results:
        free = [c for c, s in self.cpus.items() if s.online and s.available > 0]
        if not free:
            return frozenset({ENOSPC})
        inside = [c for c in free if c in wanted]
        self.broken += bool(wanted) and not inside
        cpu = max(inside or free, key=lambda c: (self.cpus[c].available, -c))
        self.cpus[cpu].available -= 1
        self.cpus[cpu].allocated += 1
        state.cpu, state.reserved = cpu, False
        return frozenset({OK})

    def deactivate(self, irq: int) -> Results:
        """Free the vector; the irq keeps its reservation or managed slot."""
        state = self.irqs.setdefault(irq, Irq())
        if state.cpu is not None:
            slots = self.cpus[state.cpu]
            slots.allocated -= 1
            if state.managed_on:
                slots.managed_used -= 1
            else:
                slots.available += 1
                state.reserved = state.can_reserve
            state.cpu = None
        return frozenset({OK})

    def free(self, irq: int) -> Results:
        """Free the irq's vector and its reservation or slots."""
        self.deactivate(irq)
        state = self.irqs.pop(irq, Irq())
        for c in state.managed_on:
            self.cpus[c].managed -= 1
            self.cpus[c].available += 1
        return frozenset({OK})


def activation(available: int | None) -> Results:
    """Return the results of an activation when only `global_avl` is known (from irq_matrix events); unknown: either."""
    if available is None:
        return ANY
    return frozenset({OK if available > 0 else ENOSPC})
