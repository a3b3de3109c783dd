-- A database and a user for each service; no user may connect to another's database.
SELECT format('CREATE ROLE %1$I LOGIN PASSWORD %1$L', service)
FROM unnest(ARRAY['order', 'inventory', 'payment', 'notification']) AS service \gexec
SELECT format('CREATE DATABASE %1$I OWNER %1$I', service)
FROM unnest(ARRAY['order', 'inventory', 'payment', 'notification']) AS service \gexec
SELECT format('REVOKE CONNECT ON DATABASE %1$I FROM PUBLIC', service)
FROM unnest(ARRAY['order', 'inventory', 'payment', 'notification']) AS service \gexec
