"""A node that is drained takes one pod at a time; with a single pod a budget would only block."""

from __future__ import annotations

from ferrule_operator.manifests.child import Parent
from ferrule_operator.objects import Object, selector_labels


def disruption_budget(parent: Parent) -> Object | None:
    if parent.spec.replicas <= 1:
        return None
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": parent.metadata(parent.name),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector_labels(parent.name)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
