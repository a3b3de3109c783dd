-- A database and a user for each service; no user may connect to another's database. Run with psql as a superuser:
-- creates what is missing and leaves alone what is there, so that it can be run at any time.
-- generated from services.toml, databases: begin (make generate)
\set services order,inventory,payment,notification
-- generated from services.toml, databases: end

SELECT format('CREATE ROLE %1$I LOGIN PASSWORD %1$L', service)
FROM unnest(string_to_array(:'services', ',')) AS service
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = service) \gexec
SELECT format('CREATE DATABASE %1$I OWNER %1$I', service)
FROM unnest(string_to_array(:'services', ',')) AS service
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = service) \gexec
SELECT format('REVOKE CONNECT ON DATABASE %1$I FROM PUBLIC', service)
FROM unnest(string_to_array(:'services', ',')) AS service \gexec

-- The Collector reads statistics and can read no table.
SELECT 'CREATE ROLE otel_collector LOGIN PASSWORD ''otel_collector'' IN ROLE pg_monitor'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'otel_collector') \gexec
SELECT format('GRANT CONNECT ON DATABASE %1$I TO otel_collector', service)
FROM unnest(string_to_array(:'services', ',')) AS service \gexec
