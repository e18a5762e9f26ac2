-- The browsers that are logged in: who comes with what, and until when.

create table logins (
    id text collate "C" not null primary key, -- SHA-256 of what the browser has, in hexadecimal
    owner text collate "C" not null,
    key_id text collate "C" not null, -- the key that opens the content
    bytes bytea not null, -- what the identity provider said of the user, encrypted
    seen_at bigint not null, -- microseconds since 1970
    expires_at bigint not null
);

create index logins_expiring on logins (expires_at);
