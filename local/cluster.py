"""The stack on a Kubernetes cluster: applies kubernetes/overlays/local, waits, places a first order."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from local.console import out
from local.containers import ContainerSettings
from local.settings import HOST, ROOT
from waybill_explorer.client import ClientError

NAMESPACE = "waybill"
OVERLAY = "kubernetes/overlays/local"
LOCAL_TAG = "local"
"""The tag of our image in that overlay; the Job that migrates is named after it."""
TIMEOUT_SECONDS = 600
FORWARDED = {
    "order-service": "order_port",
    "jaeger": "traces_port",
    "prometheus": "prometheus_port",
    "loki": "loki_port",
}
"""Service in the cluster -> the setting of its port, there and here."""


def up(settings: ContainerSettings, load: str | None, first_order: Callable[[], bool]) -> int:
    """Build, load and apply; show a first order and the pods it went through. Return an exit status. Raise ClientError.

    `load` is a command that copies images of the container engine, whose names are added to it, into the cluster.
    """
    context = kubectl("config", "current-context").strip()
    out.print(f"Cluster: {context or 'the one of this pod'}")
    tag = build()
    manifests = rendered(tag)
    if load:
        images = [image for image in images_of(manifests) if _engine_has(image)]
        out.print(f"Loading {len(images)} images: {load}")
        _run([*shlex.split(load), *images])
    out.print(f"Applying {OVERLAY} with waybill:{tag}")
    apply(manifests)
    wait_until_ready(tag)
    with ExitStack() as forwards:
        for service, port in FORWARDED.items():
            forwards.enter_context(forwarded(service, getattr(settings, port)))
        taken = first_order()
        print_pods(f"http://{HOST}:{settings.traces_port}")
    out.print("\nTo reach it again, each in a terminal of its own:")
    for service, port in FORWARDED.items():
        number = getattr(settings, port)
        out.print(f"  kubectl --namespace {NAMESPACE} port-forward service/{service} {number}", soft_wrap=True)
    out.print(f"To remove it: kubectl delete namespace {NAMESPACE}")
    return 0 if taken else 1


def kubectl(*arguments: str, text: str | None = None) -> str:
    """Return what kubectl prints; `text` is its input. Raise ClientError with what it complains of."""
    return _run([program(), *arguments], text)


def program() -> str:
    """Return the path of kubectl: the one of the PATH or, without one, that of the tests. Raise ClientError."""
    found = shutil.which("kubectl") or shutil.which("kubectl", path=Path(sys.executable).parent)
    if found is None:
        raise ClientError("there is no kubectl in the PATH. Install it, and point it to a cluster (KUBECONFIG).")
    return found


def build() -> str:
    """Build the services' image and return a tag of its own, made of its id: a new image is a new rollout."""
    built = _run(["docker", "build", "--quiet", str(ROOT)]).strip()
    tag = built.removeprefix("sha256:")[:12]
    _run(["docker", "tag", built, f"waybill:{tag}"])
    return tag


def rendered(tag: str) -> str:
    """Return the manifests of the overlay with this tag of our image."""
    text = kubectl("kustomize", "--load-restrictor", "LoadRestrictionsNone", str(ROOT / OVERLAY))
    return text.replace(f"waybill:{LOCAL_TAG}", f"waybill:{tag}").replace(f"migrate-{LOCAL_TAG}", f"migrate-{tag}")


def apply(manifests: str) -> None:
    """Apply manifests; the namespace first, which all others are in."""
    kubectl("apply", "--server-side", "--force-conflicts", "--filename", "-", text=manifests)


def images_of(manifests: str) -> list[str]:
    """Return each image that the manifests name, once."""
    return sorted(set(re.findall(r"^ *(?:- )?image: (\S+)$", manifests, re.MULTILINE)))


def wait_until_ready(tag: str) -> None:
    """Wait for the migrations of this version and then for each workload. Raise ClientError that says which is not."""
    timeout = f"--timeout={TIMEOUT_SECONDS}s"
    kubectl("--namespace", NAMESPACE, "wait", "--for=condition=Complete", f"job/migrate-{tag}", timeout)
    workloads = kubectl("--namespace", NAMESPACE, "get", "deployment,statefulset,daemonset", "--output", "name").split()
    for workload in workloads:
        kubectl("--namespace", NAMESPACE, "rollout", "status", workload, timeout)
        out.print(f"  {workload} is ready")


@contextmanager
def forwarded(service: str, port: int) -> Iterator[None]:
    """Forward a port of this machine to the same port of a service in the cluster."""
    command = [program(), "--namespace", NAMESPACE, "port-forward"]
    with subprocess.Popen([*command, f"service/{service}", str(port)], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        try:
            if not (process.stdout and process.stdout.readline().startswith("Forwarding")):
                raise ClientError(f"port {port} could not be forwarded to {service}. Is it free on this machine?")
            yield
        finally:
            process.terminate()


def print_pods(traces: str) -> None:
    """Print the pods that the newest order went through, by the attributes that the Collector's agent added."""
    query = {"service": "order-service", "operation": "POST /orders", "limit": "1", "lookback": "1h"}
    found = requests.get(f"{traces}/api/traces", params=query, timeout=30).json()["data"]
    out.print("\nThe pods that it went through:")
    for attributes in pods_of(found[0]) if found else ():
        out.print(
            f"  {attributes['service.name']:<22}{attributes.get('k8s.pod.name', '?'):<42}"
            f"deployment {attributes.get('k8s.deployment.name', '?')}, node {attributes.get('k8s.node.name', '?')}",
            soft_wrap=True,
        )


def pods_of(trace: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the attributes of each process of a trace in Jaeger's JSON, its name as `service.name` among them."""
    return [
        {"service.name": process["serviceName"], **{tag["key"]: str(tag["value"]) for tag in process["tags"]}}
        for process in trace["processes"].values()
    ]


def _engine_has(image: str) -> bool:
    command = ["docker", "image", "inspect", image]
    return subprocess.run(command, capture_output=True).returncode == 0  # noqa: S603


def _run(command: list[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise ClientError(f"there is no {command[0]} in the PATH. Install it.") from None
    if done.returncode:
        raise ClientError(f"`{shlex.join(command)[:200]}` failed:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout
