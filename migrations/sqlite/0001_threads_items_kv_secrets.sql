-- Positions grow with each row, so that lists are in the order of insertion and pages go by key.
-- They never leave the store: what others know is the id.

create table threads (
    position integer primary key,
    id varchar(255) not null unique,
    owner varchar(2048) not null,
    created_at bigint not null, -- microseconds since 1970
    data text not null,         -- ThreadMetadata as JSON
    page text not null          -- the page context of the last turn as JSON
);

create index threads_by_owner on threads (owner, created_at, position);

create table items (
    position integer primary key,
    thread bigint not null references threads (position) on delete cascade,
    id varchar(255) not null unique,
    kind varchar(64) not null,  -- the item's type, or tool_call
    hidden integer not null,    -- 1: only the model sees it
    pending integer not null,   -- 1: a checkpoint of an item that is in progress
    generation varchar(255),    -- the generation that made it, if one did
    json text not null          -- as clients get it
);

create index items_by_thread on items (thread, position);
create index items_visible on items (thread, position) where hidden = 0 and pending = 0;
create index items_pending on items (position) where pending = 1;

create table feedback (
    item bigint primary key references items (position) on delete cascade,
    kind varchar(64) not null,
    created_at bigint not null  -- microseconds since 1970
);

create table kv (
    plugin varchar(255) not null,
    scope varchar(2048) not null,
    name text not null,
    value text not null,        -- JSON
    thread bigint references threads (position) on delete cascade,
    primary key (plugin, scope, name)
);

create index kv_by_thread on kv (thread) where thread is not null;

create table secrets (
    name varchar(255) primary key,
    value blob not null
);
