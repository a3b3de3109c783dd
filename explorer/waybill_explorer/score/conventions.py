"""Which attribute keys the semantic conventions define, and at which level of OTLP: for RES-004 and MET-006."""

from pathlib import Path

from waybill_explorer.score.words import words

ATTRIBUTE_KEYS = frozenset(Path(__file__).with_name("attribute_keys.txt").read_text().split())
"""Written by tools/attribute_keys.py."""

_OF_RESOURCES = words(
    """
    service. telemetry.sdk. telemetry.distro. deployment.environment host. os. process. container. cloud.account.
    cloud.availability_zone cloud.platform cloud.provider cloud.region k8s.cluster. k8s.namespace. k8s.node.
    k8s.pod. k8s.container.name k8s.replicaset. k8s.deployment. k8s.statefulset. k8s.daemonset. k8s.job.
    k8s.cronjob. browser.brands browser.platform browser.mobile browser.language device. webengine. heroku.
    """
)
_NOT_ONLY_OF_RESOURCES = words(
    """
    service.peer. process.context_switch. process.cpu. process.paging. process.state process.exit. container.cpu.
    container.csi. k8s.container.status. k8s.namespace.phase k8s.node.condition. k8s.pod.status.
    """
)
"""Keys in these namespaces that spans, metrics or events have as well."""
_OF_SIGNALS = words(
    """
    http. url. db. rpc. messaging. network. net. exception. error. code. thread. graphql. feature_flag. gen_ai.
    client. server. source. destination. enduser. peer. message. log. event. jsonrpc. dns. mcp. openai.
    """
)

RESOURCE_KEYS = frozenset(
    key for key in ATTRIBUTE_KEYS if key.startswith(_OF_RESOURCES) and not key.startswith(_NOT_ONLY_OF_RESOURCES)
)
"""Keys that describe what sends telemetry, so that no span or log record may have them."""
SIGNAL_KEYS = frozenset(key for key in ATTRIBUTE_KEYS if key.startswith(_OF_SIGNALS))
"""Keys that describe an operation or a record, so that no resource may have them."""
