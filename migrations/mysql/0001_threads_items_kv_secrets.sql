-- Positions grow with each row, so that lists are in the order of insertion and pages go by key.
-- They never leave the store: what others know is the id.
--
-- What is compared is kept as bytes: collations take `a` and `a ` for the same.

create table threads (
    position bigint auto_increment primary key,
    id varbinary(255) not null unique,
    owner varbinary(2048) not null,
    created_at bigint not null, -- microseconds since 1970
    data longtext not null,     -- ThreadMetadata as JSON
    page longtext not null,     -- the page context of the last turn as JSON
    key threads_by_owner (owner, created_at, position)
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;

create table items (
    position bigint auto_increment primary key,
    thread bigint not null,
    id varbinary(255) not null unique,
    kind varbinary(64) not null, -- the item's type, or tool_call
    hidden bigint not null,     -- 1: only the model sees it
    pending bigint not null,    -- 1: a checkpoint of an item that is in progress
    generation varbinary(255),  -- the generation that made it, if one did
    json longtext not null,     -- as clients get it
    key items_by_thread (thread, position),
    key items_visible (thread, hidden, pending, position),
    key items_pending (pending, position),
    foreign key (thread) references threads (position) on delete cascade
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;

create table feedback (
    item bigint primary key,
    kind varbinary(64) not null,
    created_at bigint not null, -- microseconds since 1970
    foreign key (item) references items (position) on delete cascade
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;

create table kv (
    plugin varbinary(255) not null,
    scope varbinary(2240) not null,
    name varbinary(512) not null,
    value longtext not null,    -- JSON
    thread bigint,
    primary key (plugin, scope, name),
    key kv_by_thread (thread),
    foreign key (thread) references threads (position) on delete cascade
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;

create table secrets (
    name varbinary(255) primary key,
    value blob not null
) engine = InnoDB row_format = dynamic default charset = utf8mb4 collate = utf8mb4_bin;
