from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ray_study.__main__ import main
from ray_study.sweep_file import read

GIGABYTES = {"p5.48xlarge": 80, "p5en.48xlarge": 141}
"""Memory of one accelerator of an instance type (AWS's own tables)."""

ROOT = Path(__file__).resolve().parent.parent
CLUSTER = ROOT / "cluster"
IN_THE_IMAGE = "/home/ray/ray_study"


@pytest.fixture(scope="module")
def launcher() -> dict[str, Any]:
    return yaml.safe_load((CLUSTER / "gpu.yaml").read_text())


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((CLUSTER / "kuberay-rayjob.yaml").read_text()))


@pytest.fixture(scope="module")
def job(manifests: list[dict[str, Any]]) -> dict[str, Any]:
    return next(manifest for manifest in manifests if manifest["kind"] == "RayJob")


def locked(name: str) -> str:
    return re.search(rf"^{name}==(\S+)$", (ROOT / "requirements" / "gpu.txt").read_text(), re.MULTILINE).group(1)


def groups(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def containers(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [container for group in groups(job) for container in group["template"]["spec"]["containers"]]


def verb_of(command: str) -> str:
    words = command.split()
    return words[words.index("ray-study") + 1]


def test_the_launcher_file_obeys_rays_own_schema(launcher: dict[str, Any]) -> None:
    schema = json.loads(files("ray.autoscaler").joinpath("ray-schema.json").read_text())
    jsonschema.validate(launcher, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(launcher | {"max_worker": 1}, schema)


def test_the_launcher_names_its_head_and_never_waits_to_grow(launcher: dict[str, Any]) -> None:
    kinds = launcher["available_node_types"]
    assert launcher["head_node_type"] in kinds
    workers = [kind for name, kind in kinds.items() if name != launcher["head_node_type"]]
    assert sum(kind["min_workers"] for kind in workers) == sum(kind["max_workers"] for kind in workers) == launcher["max_workers"]
    assert any(kind["resources"]["GPU"] > 0 for kind in workers)


def test_the_launcher_installs_the_lock_that_is_there(launcher: dict[str, Any]) -> None:
    mounted = next(target for target, source in launcher["file_mounts"].items() if source == ".")
    named = re.findall(rf"-r {mounted}/(\S+)", "\n".join(launcher["setup_commands"]))
    assert named == ["requirements/gpu.txt"]
    assert (ROOT / named[0]).is_file()


def test_the_images_hold_the_ray_of_the_lock(launcher: dict[str, Any], job: dict[str, Any]) -> None:
    ray = locked("ray")
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == ray
    assert all(container["image"].endswith(f"-ray{ray}") for container in containers(job))
    base = re.search(r"^FROM (\S+)$", (CLUSTER / "Dockerfile").read_text(), re.MULTILINE).group(1)
    assert base == launcher["docker"]["image"]
    assert base.split(":")[1].startswith(f"{ray}-py311-")


def test_the_ray_job_is_one_that_kuberay_takes(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    known = {"entrypoint", "submissionMode", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"}
    assert set(job["spec"]) <= known
    for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", group["groupName"])


def test_each_pod_asks_for_the_gpus_that_its_ray_counts(job: dict[str, Any]) -> None:
    asked = []
    for group in groups(job):
        container = group["template"]["spec"]["containers"][0]
        limits, requests = container["resources"]["limits"], container["resources"]["requests"]
        assert limits == requests
        assert int(group["rayStartParams"]["num-gpus"]) == limits.get("nvidia.com/gpu", 0)
        asked.append(limits.get("nvidia.com/gpu", 0))
    assert sum(asked) > 0


def test_each_mount_of_a_pod_has_its_volume_and_every_pod_sees_the_store(job: dict[str, Any]) -> None:
    for group in groups(job):
        spec = group["template"]["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            environment = {entry["name"]: entry["value"] for entry in container["env"]}
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert set(mounts) == volumes
            for name in ("RAY_STUDY_STORAGE", "RAY_STUDY_CACHE"):
                assert environment[name].startswith(mounts["shared"] + "/"), "a relative or private store would be lost (O7)"
            assert environment["HF_TOKEN_PATH"].startswith(mounts["hub-token"] + "/")


def test_the_jobs_entrypoint_names_a_verb_and_a_sweep_file_that_exist(job: dict[str, Any]) -> None:
    program, verb, sweep = job["spec"]["entrypoint"].split()
    assert program == "ray-study"
    assert sweep.startswith(IN_THE_IMAGE + "/")
    assert (ROOT / sweep.removeprefix(IN_THE_IMAGE + "/")).is_file()
    assert verb == "run"


def test_every_command_line_of_the_readme_has_a_verb_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    text = (CLUSTER / "README.md").read_text() + (CLUSTER / "kuberay-rayjob.yaml").read_text()
    verbs = set(re.findall(r"ray-study (run|[a-z]+(?= sweeps/)|plan|status|report|ui)\b", text))
    assert {"run", "status", "plan"} <= verbs
    for verb in verbs:
        with pytest.raises(SystemExit) as stopped:
            main([verb, "--help"])
        assert stopped.value.code == 0
    capsys.readouterr()


def test_every_sweep_file_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"sweeps/[\w/.-]+\.yaml", (CLUSTER / "README.md").read_text()))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("path", sorted(CLUSTER.iterdir()), ids=lambda path: path.name)
def test_no_token_travels_by_an_environment(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\b(HF_TOKEN|HUGGING_FACE_HUB_TOKEN|AWS_SECRET_ACCESS_KEY|WANDB_API_KEY)\s*[=:\"']", text)
    assert not re.search(r"hf_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}", text)


def test_the_jobs_environment_holds_paths_only(job: dict[str, Any]) -> None:
    assert "runtimeEnvYAML" not in job["spec"], "a runtime environment stands in the job's metadata (O9)"
    for container in containers(job):
        for entry in container["env"]:
            assert entry["value"].startswith("/") or entry["name"] == "MLFLOW_TRACKING_URI", entry


def test_the_sweep_that_the_job_runs_fits_its_cluster(
    manifests: list[dict[str, Any]], job: dict[str, Any], launcher: dict[str, Any]
) -> None:
    entrypoint = job["spec"]["entrypoint"].split()[2].removeprefix(IN_THE_IMAGE + "/")
    resources = read(ROOT / entrypoint).resources
    gpus = sum(container["resources"]["limits"].get("nvidia.com/gpu", 0) for container in containers(job))
    kinds = launcher["available_node_types"].values()
    assert resources.num_gpus <= gpus
    assert resources.num_gpus <= sum(kind["resources"]["GPU"] * kind.get("min_workers", 1) for kind in kinds)
    worker = next(kind for kind in kinds if kind["resources"]["GPU"])
    assert GIGABYTES[worker["node_config"]["InstanceType"]] >= resources.gpu_memory_gigabytes


def test_a_study_on_several_nodes_finds_a_tracking_server(
    manifests: list[dict[str, Any]], job: dict[str, Any], launcher: dict[str, Any]
) -> None:
    service = next(manifest for manifest in manifests if manifest["kind"] == "Service")
    server = next(manifest for manifest in manifests if manifest["kind"] == "Deployment")["spec"]["template"]
    assert len(groups(job)) > 1
    address = f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    for container in containers(job):
        assert {"name": "MLFLOW_TRACKING_URI", "value": address} in container["env"]
    assert service["spec"]["selector"] == server["metadata"]["labels"]
    assert "mlflow" in server["spec"]["containers"][0]["command"]
    started = "\n".join(launcher["head_start_ray_commands"])
    assert re.search(r"mlflow server .*--port 5000", started)
    assert "MLFLOW_TRACKING_URI=http://127.0.0.1:5000 ray start" in started


def test_the_cluster_files_hold_no_python() -> None:
    assert not [path.name for path in CLUSTER.iterdir() if path.suffix == ".py"]
