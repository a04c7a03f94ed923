"""The health check for Argo CD, by the Lua that Argo CD embeds (5.1)."""

import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "manifests/argocd/health.lua"


def lua(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{json.dumps(key)}] = {lua(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(lua, value)) + "}"
    return json.dumps(value)


def health(obj: dict) -> tuple[str, str]:
    program = f"obj = {lua(obj)}\nlocal hs = (function()\n{SCRIPT.read_text()}\nend)()\nprint(hs.status)\nprint(hs.message)\n"
    done = subprocess.run(["lua5.1", "-"], input=program, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
    status, message = done.stdout.splitlines()
    return status, message


def binding(observed: int | None = 3, deleted: bool = False, spec: dict | None = None, **conditions: str) -> dict:
    """conditions: Ready="True AwaitingApproval" """
    obj: dict = {"metadata": {"name": "aws-node", "generation": 3}, "spec": spec or {}}
    if deleted:
        obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if observed is not None:
        obj["status"] = {"observedGeneration": observed, "conditions": [
            {"type": kind, "status": text.split()[0], "reason": text.split()[1], "message": "because"}
            for kind, text in conditions.items()]}
    return obj


@pytest.mark.parametrize("obj, status, says", [
    (binding(None), "Progressing", "waits for the operator"),
    (binding(2, Ready="True Converged"), "Progressing", "latest spec"),
    (binding(Ready="True Converged", Reconciling="False Converged", Stalled="False Converged"), "Healthy", "Converged: because"),
    (binding(Ready="False Soaking", Reconciling="True Soaking"), "Progressing", "Soaking: because"),
    (binding(Ready="False RoleNotOurs", Stalled="True RoleNotOurs"), "Degraded", "RoleNotOurs: because"),
    (binding(spec={"suspend": True}, Ready="False Suspended"), "Suspended", "the guard goes on"),
    (binding(spec={"suspend": True}, Stalled="True GuardFired"), "Degraded", "GuardFired"),
    (binding(deleted=True, Ready="True Converged"), "Progressing", "being undone"),
    (binding(deleted=True, Stalled="True ModeForbidsWrites"), "Degraded", "ModeForbidsWrites"),
])
def test_health(obj, status, says):
    found, message = health(obj)
    assert found == status and says in message
