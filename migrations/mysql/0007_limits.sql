-- What was used of each limit: one row for whose it is, what is measured, and since when.
create table limit_counts (
    subject varbinary(80) not null, -- a digest: no address and no name of a user
    measure varbinary(64) not null, -- as in kitfox.toml; streams with the process that counts them
    since bigint not null,          -- seconds since 1970, the beginning of its minute or day
    used bigint not null,
    until bigint not null,          -- seconds since 1970: then it means nothing any more
    primary key (subject, measure, since),
    key limit_counts_until (until)
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;

-- Of which organisation users were last, where organisations keep threads for times of their own.
create table organisations (
    subject varbinary(80) not null primary key, -- a digest of the user
    org varchar(255) not null
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;
