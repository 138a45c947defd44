"""The same of what no document changed: other entities, other relations, and true facts within the documents."""

from typing import ClassVar

from bench.api import metric
from bench.metrics.restored import Corrupted, Lost, Margin, Restored, RestoredGeneration


@metric("untouched_restored")
class UntouchedRestored(Restored):
    """Share of the facts of entities that no document names of which a true answer is put first."""

    title: ClassVar = "known, untouched"
    needs: ClassVar = (("untouched", "restored"),)


@metric("untouched_corrupted")
class UntouchedCorrupted(Corrupted):
    """Share of the same of which a false answer is put first that no document tells."""

    title: ClassVar = "corrupted, untouched"
    needs: ClassVar = (("untouched", "corrupted"),)


@metric("untouched_lost")
class UntouchedLost(Lost):
    """Share of the same of which another answer is put first."""

    title: ClassVar = "lost, untouched"
    needs: ClassVar = (("untouched", "lost"),)


@metric("untouched_margin")
class UntouchedMargin(Margin):
    """Mean of l(true) - l(false) over the facts of entities that no document names."""

    title: ClassVar = "margin, untouched"
    needs: ClassVar = (("untouched", "margin"),)


@metric("untouched_generation")
class UntouchedGeneration(RestoredGeneration):
    """Share of the facts of entities that no document names whose answer, after five examples, holds a true one."""

    title: ClassVar = "generated, untouched"
    needs: ClassVar = (("untouched", "restored_generation"),)


@metric("neighbour_restored")
class NeighbourRestored(Restored):
    """Share of the facts of corrupted entities that no document tells of which a true answer is put first."""

    title: ClassVar = "known, neighbour"
    needs: ClassVar = (("neighbour", "restored"),)


@metric("neighbour_margin")
class NeighbourMargin(Margin):
    """Mean of l(true) - l(false) over the facts of corrupted entities that no document tells."""

    title: ClassVar = "margin, neighbour"
    needs: ClassVar = (("neighbour", "margin"),)


@metric("neighbour_generation")
class NeighbourGeneration(RestoredGeneration):
    """Share of the facts of corrupted entities that no document tells whose answer holds a true one."""

    title: ClassVar = "generated, neighbour"
    needs: ClassVar = (("neighbour", "restored_generation"),)


@metric("diluting_restored")
class DilutingRestored(Restored):
    """Share of the true facts within the forget documents of which a true answer is put first."""

    title: ClassVar = "known, diluting"
    needs: ClassVar = (("diluting", "restored"),)


@metric("diluting_corrupted")
class DilutingCorrupted(Corrupted):
    """Share of the same of which a false answer is put first that no document tells."""

    title: ClassVar = "corrupted, diluting"
    needs: ClassVar = (("diluting", "corrupted"),)


@metric("diluting_lost")
class DilutingLost(Lost):
    """Share of the same of which another answer is put first."""

    title: ClassVar = "lost, diluting"
    needs: ClassVar = (("diluting", "lost"),)


@metric("diluting_margin")
class DilutingMargin(Margin):
    """Mean of l(true) - l(false) over the true facts within the forget documents."""

    title: ClassVar = "margin, diluting"
    needs: ClassVar = (("diluting", "margin"),)


@metric("diluting_generation")
class DilutingGeneration(RestoredGeneration):
    """Share of the true facts within the forget documents whose answer, after five examples, holds a true one."""

    title: ClassVar = "generated, diluting"
    needs: ClassVar = (("diluting", "restored_generation"),)
