"""docker-compose.yml, the Dockerfile and deploy/k8s, judged by the schemas of their makers and against each other.

No engine runs here. What the files start runs as processes in tests/ticketservice/test_services_behind_nginx.py.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from devtools.procfile import read_procfile
from tests.support.harness import ROOT

SCHEMAS = ROOT / "tests" / "schemas"
PROCESSES = read_procfile(ROOT / "Procfile").keys()
LISTENING = {"web", "realtime"}
SECRETS = {
    "DATABASE_URL",
    "REDIS_URL",
    "SECRET_KEY",
    "INTERNAL_API_TOKEN",
    "JWT_SECRET",
    "JWT_PUBLIC_KEY",
    "AUTH_SERVICE_URL",
}
STOP_SECONDS = 10  # the longest that a process takes: tests/ticketservice/test_processes.py
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
MANIFESTS = sorted((ROOT / "deploy" / "k8s").glob("*.yaml"))
OBJECTS: list[dict[str, Any]] = [made for file in MANIFESTS for made in yaml.safe_load_all(file.read_text())]
DESCRIBED = set(re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
TEMPLATE = (ROOT / "deploy" / "nginx" / "ticketservice.conf.template").read_text()
OF_THE_PROXY = set(re.findall(r"\$\{([A-Z_]+)\}", TEMPLATE)) - {"NAMES"}


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


# --- docker-compose.yml -----------------------------------------------------------------------------------------------


def test_the_compose_file_has_the_shape_of_one() -> None:
    schema = json.loads((SCHEMAS / "compose-spec.json").read_text())
    assert [error.message for error in Draft202012Validator(schema).iter_errors(COMPOSE)] == []
    wrong = {**COMPOSE, "services": {"web": {"imag": "x"}}}
    assert not Draft202012Validator(schema).is_valid(wrong)


def test_the_compose_file_runs_every_process_of_the_procfile_and_two_of_those_that_answer() -> None:
    assert {name: SERVICES[name]["command"] for name in PROCESSES} == {name: name for name in PROCESSES}
    assert {name: SERVICES[name].get("deploy", {}).get("replicas", 1) for name in PROCESSES} == {
        name: 2 if name in LISTENING else 1 for name in PROCESSES
    }
    assert SERVICES["migrate"]["entrypoint"] == ["python", "manage.py", "migrate"]
    assert {"--appendonly yes", "--maxmemory-policy noeviction"} <= set(
        re.findall(r"--\S+ \w+", SERVICES["redis"]["command"])
    )
    (files,) = re.findall(r"worker_rlimit_nofile (\d+);", (ROOT / "deploy" / "nginx" / "nginx.conf").read_text())
    assert all(SERVICES[name]["ulimits"]["nofile"] == int(files) for name in ("proxy", "web", "realtime"))
    # Only the proxy, and on this machine only what watches it, can be reached from outside.
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published.pop("proxy") == ["${PORT:-8000}:8080"]
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_a_container_is_healthy_stopped_in_time_and_locked_down(name: str) -> None:
    service = SERVICES[name]
    check = service["healthcheck"]
    assert seconds(check["timeout"]) < seconds(check["interval"])
    assert "timeout=4" in str(check["test"]) or name == "beat"
    assert service.get("init") is True
    assert seconds(service.get("stop_grace_period", "10s")) >= STOP_SECONDS
    assert (service["read_only"], service["cap_drop"], service["restart"]) == (True, ["ALL"], "unless-stopped")
    assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    for variable in ("SECRET_KEY", "INTERNAL_API_TOKEN"):
        assert service["environment"][variable].startswith(f"${{{variable}:?")  # compose refuses to start without


def test_every_variable_of_a_container_is_read_by_the_service_or_the_proxy() -> None:
    for name in [*PROCESSES, "migrate"]:
        assert SERVICES[name]["environment"].keys() <= DESCRIBED
    in_the_image = set(re.findall(r"\b([A-Z_]+)=", re.findall(r"AS proxy\nENV (.*)", DOCKERFILE)[0]))
    assert SERVICES["proxy"]["environment"].keys() | in_the_image == OF_THE_PROXY


def test_beat_notes_what_it_has_run_where_it_may_write() -> None:
    """The file systems are read-only but for what is mounted."""
    service, (container,) = SERVICES["beat"], pod_of(DEPLOYMENTS["beat"])["containers"]
    (of_pod,) = [one["value"] for one in container["env"] if one["name"] == "BEAT_SCHEDULE"]
    assert str(Path(service["environment"]["BEAT_SCHEDULE"]).parent) in service["tmpfs"]
    assert str(Path(of_pod).parent) in [mount["mountPath"] for mount in container["volumeMounts"]]


# --- Dockerfile -------------------------------------------------------------------------------------------------------


def test_hadolint_finds_no_fault() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "--failure-threshold", "style", ROOT / "Dockerfile"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_images_are_small_run_as_nobody_and_look_after_their_health() -> None:
    _, proxy, service = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    assert re.match(r"nginxinc/nginx-unprivileged:[\d.]+-alpine AS proxy\n", proxy)
    assert re.match(r"python:[\d.]+-slim AS service\n", service)
    assert "COPY --from=build /venv /venv" in service  # what it was built with stays behind
    assert "pip" not in service
    assert re.search(r"^USER 10001$", service, re.MULTILINE)
    for image in (proxy, service):
        assert re.search(r"^HEALTHCHECK .*--timeout=\ds", image, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".env", ".venv", ".local", "tests", "docs"} <= set(ignored)
    assert ignored.index("!docs/asyncapi.yaml") > ignored.index("docs"), "it is served, at /api/asyncapi"


@pytest.mark.parametrize("name", sorted(PROCESSES))
def test_the_image_starts_a_process_by_its_name(name: str, tmp_path: Path) -> None:
    """The very entry point, with a Procfile that says what was started."""
    (tmp_path / "Procfile").write_text("".join(f"{one}: echo started {one} ${{WORD:-default}}\n" for one in PROCESSES))
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[0])
    done = subprocess.run([*entry, name], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"started {name} default\n"


def test_the_image_runs_any_other_command(tmp_path: Path) -> None:
    """As `docker compose run --rm web python manage.py createsuperuser` does."""
    (tmp_path / "Procfile").write_text("web: echo started\n")
    entry = json.loads(re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[0])
    command = ["python3", "-c", "import sys; print(sys.argv[1:])", "create superuser", '"$PATH"']
    done = subprocess.run([*entry, *command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{command[3:]}\n"


# --- deploy/k8s -------------------------------------------------------------------------------------------------------


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {made["metadata"]["name"]: made for made in OBJECTS if made["kind"] == kind}


def pod_of(made: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = made["spec"]["template"]["spec"]
    return pod


DEPLOYMENTS = of_kind("Deployment")
JOBS = of_kind("Job")


@pytest.mark.parametrize("made", OBJECTS, ids=lambda made: f"{made['kind']} {made['metadata']['name']}")
def test_a_manifest_has_the_shape_of_its_kind(made: dict[str, Any]) -> None:
    schemas = json.loads((SCHEMAS / "kubernetes.json").read_text())
    schema = {**schemas["kinds"][made["kind"]], "$defs": schemas["$defs"]}
    assert made["apiVersion"] == schema["properties"]["apiVersion"]["enum"][0]
    assert [error.message for error in Draft202012Validator(schema).iter_errors(made)] == []
    assert not Draft202012Validator(schema).is_valid({**made, "no such field": 1})
    assert made["metadata"]["namespace"] == "ticketservice"


def test_the_cluster_runs_what_compose_runs() -> None:
    ours = PROCESSES | {"proxy"}
    assert ours == DEPLOYMENTS.keys()
    for name in PROCESSES:
        (container,) = pod_of(DEPLOYMENTS[name])["containers"]
        assert container["args"] == [SERVICES[name]["command"]]
        own = {one["name"]: one["value"] for one in container.get("env", ())}
        of_compose = SERVICES[name]["environment"]
        assert {key: of_compose.get(key, value) for key, value in own.items()} == own
        shared = {"configMapRef": {"name": "ticketservice"}}, {"secretRef": {"name": "ticketservice"}}
        assert tuple(container["envFrom"]) == shared
    (migrate,) = pod_of(JOBS["migrate"])["containers"]
    assert migrate["command"] == SERVICES["migrate"]["entrypoint"]
    proxy = {one["name"]: one["value"] for one in pod_of(DEPLOYMENTS["proxy"])["containers"][0]["env"]}
    assert proxy.keys() == OF_THE_PROXY - {"STATIC_PARENT"}
    for name in ("WEB", "REALTIME"):  # as in compose, but for the longer name
        assert proxy[name].replace(".ticketservice.svc.cluster.local", "") == SERVICES["proxy"]["environment"][name]


def test_every_variable_of_a_pod_is_described_and_no_secret_is_in_a_file() -> None:
    given = {*of_kind("ConfigMap")["ticketservice"]["data"]}
    given |= {one["name"] for name in PROCESSES for one in pod_of(DEPLOYMENTS[name])["containers"][0].get("env", ())}
    assert given <= DESCRIBED
    assert not given & SECRETS
    guide = (ROOT / "docs" / "deployment.md").read_text()
    assert {secret for secret in SECRETS if f"--from-literal={secret}=" in guide} >= SECRETS - {
        "JWT_SECRET", "JWT_PUBLIC_KEY",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS | JOBS))
def test_a_pod_is_locked_down_and_says_what_it_needs(name: str) -> None:
    pod = pod_of((DEPLOYMENTS | JOBS)[name])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    (container,) = pod["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"].keys() == {"memory"}  # a limit on CPU would only make answers late
    assert not container["image"].endswith(":latest")


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_pod_is_watched_and_has_time_to_stop(name: str) -> None:
    pod = pod_of(DEPLOYMENTS[name])
    (container,) = pod["containers"]
    probes = {which: probe for which, probe in container.items() if which.endswith("Probe")}
    assert "livenessProbe" in probes
    assert ("readinessProbe" in probes) == (name in LISTENING | {"proxy"})
    for probe in probes.values():
        assert 2 <= probe["timeoutSeconds"] <= probe["periodSeconds"]
        port = probe.get("httpGet", probe.get("tcpSocket", {})).get("port")
        assert port is None or port in {one["name"] for one in container["ports"]}
    waits = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert (waits >= 5) == (name in LISTENING | {"proxy"})  # the proxy looks names up every 5 s
    assert pod["terminationGracePeriodSeconds"] >= waits + STOP_SECONDS
    scraped = DEPLOYMENTS[name]["spec"]["template"]["metadata"].get("annotations", {}).get("prometheus.io/port")
    if name in PROCESSES - {"beat"}:
        assert int(scraped) == container["ports"][0]["containerPort"]


def test_what_refers_to_pods_finds_them() -> None:
    for name, deployment in DEPLOYMENTS.items():
        wanted = {"app.kubernetes.io/name": name}
        assert deployment["spec"]["selector"] == {"matchLabels": wanted}
        assert wanted.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    for name, service in of_kind("Service").items():
        assert service["spec"]["selector"] == {"app.kubernetes.io/name": name}
        (port,) = service["spec"]["ports"]
        assert port["targetPort"] in {one["name"] for one in pod_of(DEPLOYMENTS[name])["containers"][0]["ports"]}
        assert (service["spec"].get("clusterIP") == "None") == (name in LISTENING)
    several = DEPLOYMENTS.keys() - {"beat"}
    assert of_kind("PodDisruptionBudget").keys() == several
    for name, budget in of_kind("PodDisruptionBudget").items():
        assert budget["spec"]["selector"] == {"matchLabels": {"app.kubernetes.io/name": name}}
    for name, scaler in of_kind("HorizontalPodAutoscaler").items():
        assert scaler["spec"]["scaleTargetRef"]["name"] == name
        assert scaler["spec"]["minReplicas"] >= 2
        assert "replicas" not in DEPLOYMENTS[name]["spec"]  # a roll-out would set it back
    assert all(
        DEPLOYMENTS[name]["spec"]["replicas"] >= 2 for name in several - of_kind("HorizontalPodAutoscaler").keys()
    )
    (rule,) = of_kind("Ingress")["ticketservice"]["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": "proxy", "port": {"name": "http"}}


def test_postgresql_has_connections_for_everybody() -> None:
    """By compose, and by the most that the autoscalers may make: docs/deployment.md says how many."""
    (most,) = re.findall(r"max_connections=(\d+)", SERVICES["postgres"]["command"])
    assert int(most) > (2 * 2 + 2 + 5) * 20
    scalers = {name: made["spec"]["maxReplicas"] for name, made in of_kind("HorizontalPodAutoscaler").items()}
    each = int(of_kind("ConfigMap")["ticketservice"]["data"]["DATABASE_POOL_SIZE"])
    workers = int(
        {one["name"]: one["value"] for one in pod_of(DEPLOYMENTS["web"])["containers"][0]["env"]}["WEB_WORKERS"]
    )
    processes = scalers["web"] * workers + scalers["realtime"] + DEPLOYMENTS["worker"]["spec"]["replicas"] * 5
    assert f"{processes * each} connections" in (ROOT / "docs" / "deployment.md").read_text()
