-- Who is at work in a thread, where several processes share the database: what is pending in it is the holder's.
create table turn_leases (
    thread bigint primary key,
    holder varbinary(64) not null,
    until bigint not null, -- microseconds since 1970
    foreign key (thread) references threads (position) on delete cascade
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;
