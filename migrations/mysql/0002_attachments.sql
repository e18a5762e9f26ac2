create table attachments (
    position bigint auto_increment primary key,
    id varbinary(255) not null unique,
    owner varbinary(2048) not null,
    name text not null,
    mime_type varbinary(1024) not null,
    size bigint not null,
    `blob` varbinary(512),      -- where its bytes are; null: it waits for its upload
    thread bigint,              -- once a message uses it
    created_at bigint not null, -- microseconds since 1970
    metadata longtext not null, -- what plugins keep with it, as JSON
    key attachments_by_thread (thread),
    key attachments_unused (owner, thread, created_at),
    key attachments_by_blob (`blob`),
    foreign key (thread) references threads (position) on delete cascade
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;
