-- The browsers that are logged in: who comes with what, and until when.

create table logins (
    id varbinary(64) not null primary key, -- SHA-256 of what the browser has, in hexadecimal
    owner varbinary(2048) not null,
    key_id varbinary(64) not null, -- the key that opens the content
    bytes longblob not null, -- what the identity provider said of the user, encrypted
    seen_at bigint not null, -- microseconds since 1970
    expires_at bigint not null,
    key logins_expiring (expires_at)
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;
