"""Where documents are kept, of an index with several shards."""

from __future__ import annotations

__all__ = ["routing_of"]


def routing_of(rule: str | None, tenant: str, user_id: str | None) -> str | None:
    """What the documents of a scope are kept by; None where they may be anywhere.

    Args:
        rule: ``tenant`` or ``user`` for one shard for each, None for no rule.
        tenant: the scope's tenant.
        user_id: its user. With the rule ``user``, documents of sessions without one are kept by their own ids.
    """
    if rule is None or (rule == "user" and user_id is None):
        return None
    return tenant if rule == "tenant" else f"{len(tenant)}:{tenant}{user_id}"
