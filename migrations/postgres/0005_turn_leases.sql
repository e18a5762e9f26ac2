-- Who is at work in a thread, where several processes share the database: what is pending in it is the holder's.
create table turn_leases (
    thread bigint primary key references threads (position) on delete cascade,
    holder text not null,
    until bigint not null -- microseconds since 1970
);
