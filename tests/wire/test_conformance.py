"""The simulated API server gives the same answers as the real one: the scripts of test_k8s_wire.py once more. Each of them is here, or in
one of the two lists below with its reason: a script that is added there has to be decided on here."""

import pytest
import yaml
import test_k8s_wire as real
from simworld import SimWorld
from test_k8s_wire import account, binding, many  # noqa: F401  fixtures


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with SimWorld(tmp_path_factory.mktemp("simulated"), tls=True) as world:
        world.api.create("customresourcedefinitions", yaml.safe_load(real.CRD))
        yield world


# What the simulated one has no part in: identities, certificates, its own death, etcd's compaction.
NEEDS_THE_REAL_ONE = {
    "test_absent_crd": "ends with the CRD deleted for the tests that follow",
    "test_api_server_killed_and_gone": "kills the API server",
    "test_bad_and_missing_tokens": "authentication",
    "test_client_certificate": "authentication",
    "test_exec_plugin": "authentication",
    "test_impersonation": "authorisation",
    "test_list_effect_reads_more_than_one_page": "reads the audit log",
    "test_list_expired_continue_token": "etcd's compaction",
    "test_the_same_file_as_kubectl_reads": "kubectl with certificates",
    "test_user_agent_and_audit_id": "reads the audit log",
    "test_watch_too_old_is_an_error_event": "etcd's compaction",
}
# Where the simulated one is wrong, and why that is bearable.
DIFFERENT = {
    "test_apply_conflict_with_nobody_in_particular": "fields keep their writer's name where the real one says before-first-apply",
    "test_apply_undeclared_field_is_our_mistake": "built-in kinds have no schema: an undeclared field is kept, not refused",
    "test_event_create_and_series": "Events may be changed: the operator changes their series only",
    "test_watch_bookmarks": "no bookmark for a busy type before its minute is over: rarer than the real ones, never wrong",
}
SCRIPTS = {name for name in dir(real) if name.startswith("test_")}
for name in SCRIPTS - NEEDS_THE_REAL_ONE.keys() - DIFFERENT.keys():
    globals()[name] = getattr(real, name)


def test_the_lists_name_scripts_that_exist():
    assert (NEEDS_THE_REAL_ONE.keys() | DIFFERENT.keys()) <= SCRIPTS
