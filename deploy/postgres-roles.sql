-- The roles and the database Watchword needs, for psql as a superuser:
--   WATCHWORD_OWNER_PASSWORD=... WATCHWORD_APP_PASSWORD=... psql -f deploy/postgres-roles.sql
-- The owner makes and changes tables (WATCHWORD_MIGRATION_DATABASE_URL). The application role (WATCHWORD_DATABASE_URL)
-- owns nothing and is held to one tenant per transaction by row-level security; it takes on the system role for the
-- few tasks that concern all tenants. Watchword refuses to serve as a role that row-level security does not bind.
\set ON_ERROR_STOP on
\getenv owner_password WATCHWORD_OWNER_PASSWORD
\getenv app_password WATCHWORD_APP_PASSWORD

CREATE ROLE watchword_system NOLOGIN;
CREATE ROLE watchword_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE watchword_app LOGIN NOINHERIT PASSWORD :'app_password' IN ROLE watchword_system;

CREATE DATABASE watchword OWNER watchword_owner TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C';
REVOKE CREATE ON DATABASE watchword FROM PUBLIC;
