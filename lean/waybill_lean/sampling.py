"""The SDK's own samplers as one function of the parent and the trace id."""

from collections.abc import Callable

from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    StaticSampler,
    TraceIdRatioBased,
    _AlwaysOff,
    _AlwaysOn,
    _ParentBasedAlwaysOff,
    _ParentBasedAlwaysOn,
)
from opentelemetry.trace import SpanContext

Rule = Callable[[SpanContext | None, int], bool]
"""Whether a span is sampled, of its valid parent or None, and its trace id."""

STATIC = (StaticSampler, _AlwaysOn, _AlwaysOff)
PARENT_BASED = (ParentBased, ParentBasedTraceIdRatio, _ParentBasedAlwaysOff, _ParentBasedAlwaysOn)


def rule_of(sampler: Sampler) -> Rule | None:
    """Return what `sampler` does, or None if it may do more than decide: change attributes or the trace state."""
    kind = type(sampler)
    if isinstance(sampler, StaticSampler) and kind in STATIC:
        return _static(sampler)
    if isinstance(sampler, TraceIdRatioBased) and kind is TraceIdRatioBased:
        bound = sampler.bound
        return lambda _parent, trace_id: trace_id & 0xFFFFFFFFFFFFFFFF < bound
    if isinstance(sampler, ParentBased) and kind in PARENT_BASED:
        return _parent_based(sampler)
    return None


def _static(sampler: StaticSampler) -> Rule | None:
    if sampler._decision is Decision.RECORD_ONLY:
        return None
    sampled = sampler._decision is Decision.RECORD_AND_SAMPLE
    return lambda _parent, _trace_id: sampled


def _parent_based(sampler: ParentBased) -> Rule | None:
    root = rule_of(sampler._root)
    children = (
        *(sampler._local_parent_not_sampled, sampler._local_parent_sampled),
        *(sampler._remote_parent_not_sampled, sampler._remote_parent_sampled),
    )
    by_parent = [known for child in children if (known := rule_of(child)) is not None]
    if root is None or len(by_parent) < len(children):
        return None
    if all(isinstance(child, StaticSampler) for child in children):
        decisions = tuple([child(None, 0) for child in by_parent])

        def static_rule(parent: SpanContext | None, trace_id: int) -> bool:
            return root(parent, trace_id) if parent is None else decisions[2 * bool(parent[2]) + (parent[3] & 1)]

        return static_rule

    def rule(parent: SpanContext | None, trace_id: int) -> bool:
        if parent is None:
            return root(parent, trace_id)
        return by_parent[2 * bool(parent[2]) + (parent[3] & 1)](parent, trace_id)

    return rule
