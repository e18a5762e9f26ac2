-- Calls that wait for their user: their kind is waiting_call.
create index items_waiting on items (thread, kind, position);
