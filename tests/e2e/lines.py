"""The local Kubernetes with lines between sites that tests cut."""

from dataclasses import dataclass, field
from typing import Self

from hack.demo.kubernetes import Local


@dataclass(frozen=True)
class Lines(Local):
    """Heals what was cut by itself, and no more: tests in other processes have cut lines of their own."""

    _cut: set[tuple[str, str]] = field(default_factory=set, compare=False)

    @classmethod
    def of(cls, cluster: Local) -> Self:
        return cls(cluster.kubeconfig, cluster.name)

    def cut(self, a: str, b: str) -> None:
        self._cut.add((a, b))
        super().cut(a, b)

    def heal(self) -> None:
        while self._cut:
            self.tool("heal", *self._cut.pop(), "--cluster", self.name)
