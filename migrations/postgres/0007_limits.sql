-- What was used of each limit: one row for whose it is, what is measured, and since when.
create table limit_counts (
    subject text collate "C" not null, -- a digest: no address and no name of a user
    measure text collate "C" not null, -- as in kitfox.toml; streams with the process that counts them
    since bigint not null,             -- seconds since 1970, the beginning of its minute or day
    used bigint not null,
    until bigint not null,             -- seconds since 1970: then it means nothing any more
    primary key (subject, measure, since)
);

create index limit_counts_until on limit_counts (until);

-- Of which organisation users were last, where organisations keep threads for times of their own.
create table organisations (
    subject text collate "C" not null primary key, -- a digest of the user
    org text not null
);
