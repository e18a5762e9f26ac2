-- What is entrusted to the server, encrypted before it comes here, each row for its owner, kind and name alone.

create table sealed (
    position bigint auto_increment primary key,
    owner varbinary(2048) not null,
    kind varbinary(32) not null, -- entered, tokens, login, client
    name varbinary(255) not null,
    key_id varbinary(64) not null, -- the key that opens it
    bytes longblob not null,
    created_at bigint not null,  -- microseconds since 1970
    updated_at bigint not null,
    expires_at bigint,
    lease varbinary(64),         -- who is replacing it
    lease_until bigint,
    unique key (owner, kind, name),
    key sealed_expiring (kind, expires_at)
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;
