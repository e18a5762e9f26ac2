-- What is entrusted to the server, encrypted before it comes here, each row for its owner, kind and name alone.

create table sealed (
    position integer primary key,
    owner varchar(2048) not null,
    kind varchar(32) not null,   -- entered, tokens, login, client
    name varchar(255) not null,
    key_id varchar(64) not null, -- the key that opens it
    bytes blob not null,
    created_at bigint not null,  -- microseconds since 1970
    updated_at bigint not null,
    expires_at bigint,
    lease varchar(64),           -- who is replacing it
    lease_until bigint,
    unique (owner, kind, name)
);

create index sealed_expiring on sealed (kind, expires_at) where expires_at is not null;
