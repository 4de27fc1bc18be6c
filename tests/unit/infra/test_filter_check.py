"""Reading in SQL whether a tenant's filter is there."""

import pytest

from app.domain import models
from app.infra.filter_check import unfiltered

assert models.__all__


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT users.id FROM users WHERE users.tenant_id = ?",
        "SELECT 1 \nFROM users \nWHERE users.id = %(id_1)s::VARCHAR AND users.tenant_id = %(tenant_id_1)s::VARCHAR",
        "SELECT u.id FROM users AS u JOIN groups ON groups.id = u.id AND groups.tenant_id = ? WHERE u.tenant_id = ?",
        "SELECT users.id FROM users, roles WHERE users.tenant_id = ? AND roles.tenant_id = ?",
        "UPDATE users SET username=? WHERE users.id = ? AND users.tenant_id = ? RETURNING users.id, users.tenant_id",
        "DELETE FROM users WHERE users.tenant_id = ?",
        "SELECT tenants.name, users.id FROM tenants, users WHERE users.tenant_id = ? AND tenants.id = ?",
        "INSERT INTO users (id, tenant_id) VALUES (?, ?) ON CONFLICT (tenant_id, id) DO UPDATE SET username = ?",
        "SELECT user_roles.user_id FROM user_roles WHERE user_roles.tenant_id = ? FOR UPDATE",
        "SELECT 1",
    ],
)
def test_filtered(sql: str) -> None:
    assert unfiltered(sql) == []


@pytest.mark.parametrize(
    ("sql", "missing"),
    [
        ("SELECT users.id FROM users", ["users"]),
        ('SELECT 1 FROM "groups" WHERE "groups".id = ?', ["groups"]),
        ("SELECT users.tenant_id FROM users WHERE users.tenant_id IS NOT NULL", ["users"]),
        ("SELECT users.id FROM users, roles WHERE users.tenant_id = ?", ["roles"]),
        ("SELECT users.id FROM users, roles WHERE users.tenant_id = roles.tenant_id", ["roles", "users"]),
        ("SELECT u.id FROM users AS u JOIN users AS v ON v.id = u.id WHERE u.tenant_id = ?", ["v"]),
        ("SELECT 1 FROM (users JOIN roles ON roles.tenant_id = ?)", ["users"]),
        (
            "SELECT EXISTS (SELECT * FROM users WHERE users.id = ?) FROM users WHERE users.tenant_id = ?",
            ["users"],
        ),
        ("SELECT user_roles.role_id FROM user_roles WHERE roles.tenant_id = ?", ["user_roles"]),
        ("UPDATE users SET username=?", ["users"]),
        ("UPDATE users SET epoch=? FROM roles WHERE users.tenant_id = ?", ["roles"]),
        ("DELETE FROM users USING roles WHERE users.tenant_id = ?", ["roles"]),
        ("SELECT name FROM tenants", ["tenants"]),
        ("SELECT name FROM tenants WHERE tenants.slug = ?", ["tenants"]),
        ("SELECT deployment_secrets.name FROM deployment_secrets", ["deployment_secrets"]),
        ("INSERT INTO roles (id) SELECT users.id FROM users", ["users"]),
    ],
)
def test_unfiltered(sql: str, missing: list[str]) -> None:
    assert sorted(unfiltered(sql)) == missing
