create table attachments (
    position integer primary key,
    id varchar(255) not null unique,
    owner varchar(2048) not null,
    name text not null,
    mime_type varchar(255) not null,
    size bigint not null,
    blob varchar(512),          -- where its bytes are; null: it waits for its upload
    thread bigint references threads (position) on delete cascade, -- once a message uses it
    created_at bigint not null, -- microseconds since 1970
    metadata text not null      -- what plugins keep with it, as JSON
);

create index attachments_by_thread on attachments (thread) where thread is not null;
create index attachments_unused on attachments (owner, created_at) where thread is null;
create index attachments_by_blob on attachments (blob) where blob is not null;
