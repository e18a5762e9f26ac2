-- The browsers that are logged in: who comes with what, and until when.

create table logins (
    id varchar(64) not null primary key, -- SHA-256 of what the browser has, in hexadecimal
    owner varchar(2048) not null,
    key_id varchar(64) not null, -- the key that opens the content
    bytes blob not null, -- what the identity provider said of the user, encrypted
    seen_at bigint not null, -- microseconds since 1970
    expires_at bigint not null
);

create index logins_expiring on logins (expires_at);
