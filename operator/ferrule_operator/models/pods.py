"""`podTemplate`: what a gateway's owner may set on its pods, with the types of core/v1.

Left out on purpose: containers, volumes, security contexts, service accounts. Whoever may write a
VpnGateway can't run another program by it, or gain a right.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from ferrule.runtime.gateway_spec import Section
from ferrule_operator.models.references import DataKey, ObjectName

_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][-+]?[0-9]+)?$"


def _quantity_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    Field(max_length=32, pattern=_QUANTITY),
    BeforeValidator(_quantity_text),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            "pattern": _QUANTITY,
            "x-kubernetes-int-or-string": True,
        }
    ),
]
"""As in core/v1: `500m`, `2`, `128Mi`."""

LabelKey = Annotated[str, Field(min_length=1, max_length=317)]
LabelValue = Annotated[str, Field(max_length=63)]
SelectorOperator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


class Resources(Section):
    """Resources of the concentrator's container."""

    limits: dict[str, Quantity] = Field(default={}, max_length=16)
    """The most that it may use."""

    requests: dict[str, Quantity] = Field(default={}, max_length=16)
    """What it is sure to get."""


class Toleration(Section):
    """A taint that the pods stand."""

    key: str = Field(default="", max_length=317)
    """Key of the taint. Empty, with operator Exists: all."""

    operator: Literal["Exists", "Equal", "Lt", "Gt"] = "Equal"
    """How `value` compares."""

    value: str = Field(default="", max_length=63)
    """Value of the taint."""

    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""
    """Effect of the taint. Empty: all."""

    toleration_seconds: int | None = Field(default=None, ge=0)
    """How long NoExecute is stood. Absent: for ever."""


class LabelRequirement(Section):
    """A requirement on a label."""

    key: LabelKey
    """The label."""

    operator: SelectorOperator
    """How its value relates to `values`."""

    values: tuple[LabelValue, ...] = Field(default=(), max_length=64)
    """Values, for In and NotIn."""


class LabelSelector(Section):
    """Objects chosen by their labels."""

    match_labels: dict[str, LabelValue] = Field(default={}, max_length=32)
    """Labels that must have these values."""

    match_expressions: tuple[LabelRequirement, ...] = Field(default=(), max_length=32)
    """Requirements that must all hold."""


class NodeRequirement(Section):
    """A requirement on a node."""

    key: LabelKey
    """The label, or field."""

    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    """How its value relates to `values`."""

    values: tuple[LabelValue, ...] = Field(default=(), max_length=64)
    """Values to compare with."""


class NodeSelectorTerm(Section):
    """Requirements that must all hold."""

    match_expressions: tuple[NodeRequirement, ...] = Field(default=(), max_length=32)
    """On labels of the node."""

    match_fields: tuple[NodeRequirement, ...] = Field(default=(), max_length=8)
    """On fields of the node."""


class NodeSelector(Section):
    """Nodes of which one term holds."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = Field(min_length=1, max_length=32)
    """The terms."""


class PreferredNodes(Section):
    """Nodes that are preferred."""

    weight: int = Field(ge=1, le=100)
    """How much."""

    preference: NodeSelectorTerm
    """Which."""


class NodeAffinity(Section):
    """Which nodes the pods may or should run on."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    """Must hold when a pod is scheduled."""

    preferred_during_scheduling_ignored_during_execution: tuple[PreferredNodes, ...] = Field(
        default=(), max_length=32
    )
    """Should hold when a pod is scheduled."""


class PodAffinityTerm(Section):
    """Pods to be near to, or far from."""

    label_selector: LabelSelector | None = None
    """Which pods."""

    namespace_selector: LabelSelector | None = None
    """In which namespaces, by their labels. Empty: all."""

    namespaces: tuple[ObjectName, ...] = Field(default=(), max_length=64)
    """In which namespaces. Neither this nor the selector: the gateway's own."""

    topology_key: LabelKey
    """Label of nodes that says what near is."""


class WeightedPodAffinityTerm(Section):
    """Pods whose neighbourhood is preferred, or shunned."""

    weight: int = Field(ge=1, le=100)
    """How much."""

    pod_affinity_term: PodAffinityTerm
    """Which."""


class PodAffinity(Section):
    """Other pods to be near to, or far from."""

    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = Field(
        default=(), max_length=32
    )
    """Must hold when a pod is scheduled."""

    preferred_during_scheduling_ignored_during_execution: tuple[WeightedPodAffinityTerm, ...] = (
        Field(default=(), max_length=32)
    )
    """Should hold when a pod is scheduled."""


class Affinity(Section):
    """Where the pods run."""

    node_affinity: NodeAffinity | None = None
    """In relation to nodes."""

    pod_affinity: PodAffinity | None = None
    """Near to which pods."""

    pod_anti_affinity: PodAffinity | None = None
    """Far from which pods."""


class KeyRef(Section):
    """A key of a Secret or ConfigMap of this namespace."""

    name: ObjectName
    """Name of the object."""

    key: DataKey
    """Key in its data."""

    optional: bool = False
    """Whether it may be missing."""


class FieldRef(Section):
    """A field of the pod."""

    field_path: str = Field(min_length=1, max_length=253)
    """Such as `status.hostIP`."""


class EnvSource(Section):
    """Where the value comes from."""

    secret_key_ref: KeyRef | None = None
    """From a Secret."""

    config_map_key_ref: KeyRef | None = None
    """From a ConfigMap."""

    field_ref: FieldRef | None = None
    """From the pod."""


class EnvVar(Section):
    """An environment variable of the concentrator."""

    name: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Its name."""

    value: str | None = Field(default=None, max_length=4096)
    """Its value."""

    value_from: EnvSource | None = None
    """Where the value comes from, in place of `value`."""


class PodTemplate(Section):
    """What is added to the gateway's pods."""

    labels: dict[str, LabelValue] = Field(default={}, max_length=32)
    """Labels. Those of app.kubernetes.io and ferrule.dev are the operator's."""

    annotations: dict[str, Annotated[str, Field(max_length=4096)]] = Field(
        default={}, max_length=32
    )
    """Annotations. Those of ferrule.dev are the operator's."""

    resources: Resources = Resources()
    """Resources of the concentrator's container."""

    node_selector: dict[str, LabelValue] = Field(default={}, max_length=32)
    """Labels that the nodes must have."""

    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=32)
    """Taints that the pods stand."""

    affinity: Affinity | None = None
    """Where the pods run. Absent: replicas are spread over nodes as far as possible."""

    priority_class_name: str = Field(default="", max_length=253)
    """PriorityClass of the pods."""

    env: tuple[EnvVar, ...] = Field(default=(), max_length=64)
    """Environment variables of the concentrator."""
