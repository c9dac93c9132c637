"""Schemas of the objects that are not Kubernetes' own, as far as our manifests use them, after their documentation.

KEDA: https://keda.sh/docs/latest/reference/scaledobject-spec/, its scaler `postgresql` and its `authentication`.
External Secrets: https://external-secrets.io/latest/api/externalsecret/.
"""

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_SECONDS = {"type": "integer", "minimum": 0}


def _table(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _object(version: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = _table({"name": _TEXT, "namespace": _TEXT})
    return _table({"apiVersion": {"const": version}, "kind": {"const": kind}, "metadata": metadata, "spec": spec})


_SCALING = _table(
    {
        "stabilizationWindowSeconds": {"type": "integer", "minimum": 0, "maximum": 3600},
        "policies": {
            "type": "array",
            "items": _table(
                {
                    "type": {"enum": ["Pods", "Percent"]},
                    "value": {"type": "integer", "minimum": 1},
                    "periodSeconds": {"type": "integer", "minimum": 1, "maximum": 1800},
                }
            ),
        },
    }
)
_POSTGRES = _table(
    {
        "host": _TEXT,
        "port": {"type": "string", "pattern": "^[0-9]+$"},
        "dbName": _TEXT,
        "userName": _TEXT,
        "sslmode": {"enum": ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]},
        "query": _TEXT,
        "targetQueryValue": {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?$"},
    }
)
SCHEMAS: dict[str, dict[str, Any]] = {
    "ScaledObject": _object(
        "keda.sh/v1alpha1",
        "ScaledObject",
        _table(
            {
                "scaleTargetRef": _table({"name": _TEXT}),
                "minReplicaCount": _SECONDS,
                "maxReplicaCount": {"type": "integer", "minimum": 1},
                "pollingInterval": {"type": "integer", "minimum": 1},
                "cooldownPeriod": _SECONDS,
                "advanced": _table(
                    {
                        "horizontalPodAutoscalerConfig": _table(
                            {"behavior": _table({"scaleUp": _SCALING, "scaleDown": _SCALING})}
                        )
                    }
                ),
                "triggers": {
                    "type": "array",
                    "minItems": 1,
                    "items": _table(
                        {
                            "type": {"const": "postgresql"},
                            "metricType": {"const": "AverageValue"},
                            "metadata": _POSTGRES,
                            "authenticationRef": _table({"name": _TEXT}),
                        }
                    ),
                },
            }
        ),
    ),
    "TriggerAuthentication": _object(
        "keda.sh/v1alpha1",
        "TriggerAuthentication",
        _table(
            {
                "secretTargetRef": {
                    "type": "array",
                    "minItems": 1,
                    "items": _table({"parameter": _TEXT, "name": _TEXT, "key": _TEXT}),
                }
            }
        ),
    ),
    "ExternalSecret": _object(
        "external-secrets.io/v1",
        "ExternalSecret",
        _table(
            {
                "refreshInterval": {"type": "string", "pattern": "^[0-9]+(s|m|h)$"},
                "secretStoreRef": _table({"kind": {"enum": ["SecretStore", "ClusterSecretStore"]}, "name": _TEXT}),
                "target": _table(
                    {
                        "name": _TEXT,
                        "creationPolicy": {"enum": ["Owner", "Orphan", "Merge", "None"]},
                        "deletionPolicy": {"enum": ["Retain", "Delete", "Merge"]},
                    }
                ),
                "data": {
                    "type": "array",
                    "minItems": 1,
                    "items": _table({"secretKey": _TEXT, "remoteRef": _table({"key": _TEXT}, {"property": _TEXT})}),
                },
            }
        ),
    ),
}
