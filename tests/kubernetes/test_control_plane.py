"""The rig itself: what the other tests here take for granted of the API server."""

from __future__ import annotations

import pytest

from tests.kubernetes.cluster.api import Api, CommandRefused, eventually
from tests.kubernetes.cluster.binaries import versions
from tests.kubernetes.cluster.control_plane import ControlPlane

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "samples.rig.ferrule.dev"},
    "spec": {
        "group": "rig.ferrule.dev",
        "scope": "Namespaced",
        "names": {"kind": "Sample", "plural": "samples", "singular": "sample"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "least": {"type": "integer", "default": 1},
                                    "most": {"type": "integer"},
                                },
                                "x-kubernetes-validations": [
                                    {
                                        "rule": "!has(self.most) || self.least <= self.most",
                                        "message": "least is above most",
                                    }
                                ],
                            },
                            "status": {
                                "type": "object",
                                "properties": {"seen": {"type": "integer"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}


def sample(name: str, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "rig.ferrule.dev/v1",
        "kind": "Sample",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def samples(api: Api) -> None:
    api.apply(CRD)
    api.kubectl("wait", "--for=condition=Established", "crd/samples.rig.ferrule.dev")
    eventually(lambda: "samples" in api.kubectl("api-resources", "--api-group=rig.ferrule.dev"))


def test_the_server_has_the_pinned_version(api: Api) -> None:
    assert f"Server Version: v{versions()['KUBERNETES']}" in api.kubectl("version")


def test_helm_reaches_it(api: Api, namespace: str) -> None:
    assert api.helm("list", "--namespace", namespace, "--output", "json").strip() == "[]"


@pytest.mark.usefixtures("samples")
class TestCustomResources:
    def test_cel_rules_are_enforced(self, api: Api, namespace: str) -> None:
        with pytest.raises(CommandRefused, match="least is above most"):
            api.apply(sample("a", least=3, most=2), namespace=namespace)

    def test_defaults_are_set_and_unknown_fields_pruned(self, api: Api, namespace: str) -> None:
        api.kubectl("apply", "--validate=ignore", "-n", namespace, "-f", "-", stdin=(
            '{"apiVersion": "rig.ferrule.dev/v1", "kind": "Sample",'
            ' "metadata": {"name": "a"}, "spec": {"stranger": 1}}'
        ))  # fmt: skip
        assert api.get("samples", "a", namespace)["spec"] == {"least": 1}

    def test_server_side_apply_knows_whose_field_it_is(self, api: Api, namespace: str) -> None:
        api.apply(sample("a", least=1), manager="one", namespace=namespace)
        api.apply(sample("a", most=5), manager="two", namespace=namespace)
        with pytest.raises(CommandRefused, match=r"conflict with .one.: \.spec\.least"):
            api.apply(sample("a", least=2), manager="three", namespace=namespace)
        api.apply(sample("a", least=2), manager="three", namespace=namespace, force=True)
        assert api.get("samples", "a", namespace)["spec"] == {"least": 2, "most": 5}

    def test_status_is_a_door_of_its_own(self, api: Api, namespace: str) -> None:
        api.apply({**sample("a", least=1), "status": {"seen": 1}}, namespace=namespace)
        before = api.get("samples", "a", namespace)
        assert "status" not in before
        api.kubectl(
            "patch", "samples", "a", "-n", namespace, "--subresource=status", "--type=merge",
            "--patch", '{"spec": {"least": 9}, "status": {"seen": 2}}',
        )  # fmt: skip
        after = api.get("samples", "a", namespace)
        assert after["status"] == {"seen": 2}
        assert after["spec"] == before["spec"]
        assert after["metadata"]["generation"] == before["metadata"]["generation"]


class TestWhoMayComeIn:
    def test_a_user_without_a_role_may_nothing(self, api: Api, namespace: str) -> None:
        nobody = api.as_user("nobody")
        with pytest.raises(CommandRefused, match='User "nobody" cannot list resource "secrets"'):
            nobody.list("secrets", namespace)
        nobody.close()

    def test_a_service_account_has_what_its_role_gives(self, api: Api, namespace: str) -> None:
        where = ("-n", namespace)
        api.kubectl("create", "serviceaccount", "reader", *where)
        api.kubectl("create", "role", "r", "--verb=list", "--resource=configmaps", *where)
        api.kubectl(
            "create", "rolebinding", "r", "--role=r", f"--serviceaccount={namespace}:reader", *where
        )
        reader = api.as_service_account(namespace, "reader")
        assert eventually(lambda: reader.list("configmaps", namespace) is not None)
        with pytest.raises(CommandRefused, match="cannot list resource"):
            reader.list("secrets", namespace)
        reader.close()


class TestTheAuditLog:
    def test_counts_writes_and_nothing_else(self, api: Api, namespace: str) -> None:
        mark = api.audit.mark()
        api.kubectl("create", "secret", "generic", "s", "--from-literal=a=hidden", "-n", namespace)
        api.list("secrets", namespace)
        (write,) = api.audit.writes(mark, namespace=namespace)
        assert (write.user, write.verb, write.resource, write.code) == (
            "admin",
            "create",
            "secrets",
            201,
        )

    def test_counts_refused_ones_too(self, api: Api, namespace: str) -> None:
        mark = api.audit.mark()
        with pytest.raises(CommandRefused, match="not found"):
            api.kubectl("delete", "secret", "none", "-n", namespace)
        (write,) = api.audit.writes(mark, namespace=namespace)
        assert (write.verb, write.code) == ("delete", 404)


class TestRealControllers:
    @pytest.fixture(autouse=True)
    def _running(self, controllers: ControlPlane) -> None:
        pass

    def test_stateful_sets_get_their_pods(self, api: Api, namespace: str) -> None:
        labels = {"app": "a"}
        container = {"name": "main", "image": "none.invalid/none"}
        api.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": "a"},
                "spec": {
                    "replicas": 2,
                    "serviceName": "a",
                    "podManagementPolicy": "Parallel",
                    "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {"containers": [container]},
                    },
                },
            },
            namespace=namespace,
        )
        eventually(lambda: len(api.list("pods", namespace)) == 2)
        names = [pod["metadata"]["name"] for pod in api.list("pods", namespace)]
        assert names == ["a-0", "a-1"]

    def test_what_an_owner_leaves_is_collected(self, api: Api, namespace: str) -> None:
        api.kubectl("create", "configmap", "owner", "-n", namespace)
        owner = api.get("configmap", "owner", namespace)["metadata"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
        api.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "child", "ownerReferences": [reference]},
            },
            namespace=namespace,
        )
        api.kubectl("delete", "configmap", "owner", "-n", namespace)
        eventually(lambda: [
            item["metadata"]["name"] for item in api.list("configmaps", namespace)
        ] == ["kube-root-ca.crt"])  # fmt: skip

    def test_namespaces_go_away(self, api: Api) -> None:
        api.create_namespace("short-lived")
        api.kubectl("delete", "namespace", "short-lived", "--timeout=30s")
        with pytest.raises(CommandRefused, match="not found"):
            api.get("namespace", "short-lived")
