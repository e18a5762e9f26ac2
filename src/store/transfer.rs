use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Record, Store, StoreError,
    connection::Connection,
    items,
    query::{Query, Row, query},
};
use crate::chatkit::{AttachmentId, ThreadId, ThreadMetadata};

/// A line of an export, which any database takes. Positions are not in it: what comes later stands later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    Header(Header),
    Thread(ThreadLine),
    Item(ItemLine),
    Attachment(AttachmentLine),
    Kv(KvLine),
    Sealed(SealedLine),
    Secret(SecretLine),
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    pub format: String,
    pub version: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThreadLine {
    /// Whose it is, as [`crate::user::UserKey`] writes it.
    pub owner: String,
    pub thread: ThreadMetadata,
    /// The page context of its last turn.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub page: Map<String, Value>,
}

/// What a thread holds; its thread stands before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemLine {
    pub thread_id: ThreadId,
    pub item: Record,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<FeedbackLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackLine {
    pub kind: String,
    /// Microseconds since 1970, as all times of rows.
    pub created_at: i64,
}

/// What is known of a file. Its bytes stay where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentLine {
    pub owner: String,
    pub id: AttachmentId,
    pub name: String,
    pub mime_type: String,
    pub size: i64,
    /// The key of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
    pub created_at: i64,
    pub metadata: Value,
}

/// What a plugin keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvLine {
    pub plugin: String,
    pub scope: String,
    pub name: String,
    pub value: Value,
    /// Where it goes with a thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<ThreadId>,
}

/// What a user entrusted to the server, as it is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedLine {
    pub owner: String,
    pub kind: String,
    pub name: String,
    pub key_id: String,
    pub base64: String,
    pub created_at: i64,
    pub updated_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// A secret of the installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretLine {
    pub name: String,
    pub base64: String,
}

/// What of a database is exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of these owners alone; empty: of all.
    pub owners: Vec<String>,
    pub thread: Option<ThreadId>,
    /// What is encrypted, and what signs links and cookies, too.
    pub secrets: bool,
}

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    Added,
    /// It was there, and is left as it is.
    Existing,
    /// Why it cannot be taken.
    Refused(String),
}

pub const FORMAT: &str = "kitfox";
pub const VERSION: u32 = 1;

const PAGE: i64 = 500;

const THREADS: &str = "
    select position, id, owner, data, page from threads where position > $1 order by position limit $2";

const ITEMS: &str = "
    select i.position, i.kind, i.json, i.generation, f.kind, f.created_at
    from items i left join feedback f on f.item = i.position
    where i.thread = $1 and i.position > $2 and i.pending = 0 order by i.position limit $3";

const ATTACHMENTS: &str = r#"
    select a.position, a.owner, a.id, a.name, a.mime_type, a.size, a."blob", t.id, a.created_at, a.metadata
    from attachments a left join threads t on t.position = a.thread
    where a.position > $1 order by a.position limit $2"#;

const KV: &str = "
    select k.plugin, k.scope, k.name, k.value, t.id, t.owner
    from kv k left join threads t on t.position = k.thread
    where (k.plugin > $1 or k.plugin = $1 and (k.scope > $2 or k.scope = $2 and k.name > $3))
    order by k.plugin, k.scope, k.name limit $4";

const SEALED: &str = "
    select position, owner, kind, name, key_id, bytes, created_at, updated_at, expires_at
    from sealed where position > $1 order by position limit $2";

const ADD_THREAD: &str = "
    insert into threads (id, owner, created_at, data, page) values ($1, $2, $3, $4, $5)
    on conflict (id) do nothing";

const ADD_ITEM: &str = "
    insert into items (thread, id, kind, hidden, pending, generation, json)
    select t.position, $2, $3, $4, 0, $5, $6 from threads t where t.id = $1
    on conflict (id) do nothing";

const ADD_FEEDBACK: &str = "
    insert into feedback (item, kind, created_at) select i.position, $2, $3 from items i where i.id = $1
    on conflict (item) do nothing";

const ADD_ATTACHMENT: &str = r#"
    insert into attachments (id, owner, name, mime_type, size, "blob", thread, created_at, metadata)
    select $1, $2, $3, $4, $5, $6, (select position from threads where id = $7), $8, $9 from (select 1) one
    where $7 is null or exists (select 1 from threads where id = $7)
    on conflict (id) do nothing"#;

const ADD_KV: &str = "
    insert into kv (plugin, scope, name, value, thread)
    select $1, $2, $3, $4, (select position from threads where id = $5) from (select 1) one
    where $5 is null or exists (select 1 from threads where id = $5)
    on conflict (plugin, scope, name) do nothing";

const ADD_SEALED: &str = "
    insert into sealed (owner, kind, name, key_id, bytes, created_at, updated_at, expires_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (owner, kind, name) do nothing";

const ADD_SECRET: &str =
    "insert into secrets (name, value) values ($1, $2) on conflict (name) do nothing";

impl Selection {
    fn takes(&self, owner: &str) -> bool {
        self.owners.is_empty() || self.owners.iter().any(|it| it == owner)
    }

    const fn is_all(&self) -> bool {
        self.owners.is_empty() && self.thread.is_none()
    }

    fn takes_thread(&self, thread: &str) -> bool {
        self.thread.as_ref().is_none_or(|it| it.as_str() == thread)
    }
}

impl Store {
    /// Gives what is stored to `write`, line by line: first the header, and all that belongs to a thread after it. What is in
    /// progress is not there yet.
    pub async fn export(
        &self,
        selection: &Selection,
        mut write: impl FnMut(&Line) -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        let mut write = |line: Line| write(&line).map_err(|err| StoreError::Failed(err.into()));
        write(Line::Header(Header { format: FORMAT.to_owned(), version: VERSION }))?;
        let mut after = i64::MIN;
        loop {
            let rows = self.page(query(THREADS).bind(after).bind(PAGE)).await?;
            let Some(last) = rows.last() else { break };
            after = last.try_get(0)?;
            for row in &rows {
                let (id, owner): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
                if !selection.takes(owner) || !selection.takes_thread(id) {
                    continue;
                }
                write(Line::Thread(ThreadLine {
                    owner: owner.to_owned(),
                    thread: json(row, 3)?,
                    page: json(row, 4)?,
                }))?;
                self.export_items(row.try_get(0)?, &ThreadId::from(id), &mut write).await?;
            }
        }
        self.export_attachments(selection, &mut write).await?;
        self.export_kv(selection, &mut write).await?;
        if selection.secrets && selection.thread.is_none() {
            self.export_sealed(selection, &mut write).await?;
        }
        if selection.secrets && selection.is_all() {
            let query = query("select name, value from secrets order by name");
            for row in self.page(query).await? {
                let bytes: &[u8] = row.try_get(1)?;
                let base64 = BASE64_STANDARD.encode(bytes);
                write(Line::Secret(SecretLine { name: row.try_get(0)?, base64 }))?;
            }
        }
        Ok(())
    }

    async fn page(&self, query: Query<'_>) -> Result<Vec<Row>, StoreError> {
        self.database()?.fetch_all(query).await
    }

    async fn export_items(
        &self,
        thread: i64,
        thread_id: &ThreadId,
        write: &mut impl FnMut(Line) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let rows = self.page(query(ITEMS).bind(thread).bind(after).bind(PAGE)).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get(0)?;
            for row in &rows {
                let kind: Option<String> = row.try_get(4)?;
                let feedback = kind.map(|kind| {
                    Ok::<_, StoreError>(FeedbackLine { kind, created_at: row.try_get(5)? })
                });
                write(Line::Item(ItemLine {
                    thread_id: thread_id.clone(),
                    item: items::read(row.try_get(1)?, row.try_get(2)?)?,
                    generation: row.try_get(3)?,
                    feedback: feedback.transpose()?,
                }))?;
            }
        }
    }

    async fn export_attachments(
        &self,
        selection: &Selection,
        write: &mut impl FnMut(Line) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let rows = self.page(query(ATTACHMENTS).bind(after).bind(PAGE)).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get(0)?;
            for row in &rows {
                let owner: String = row.try_get(1)?;
                let thread: Option<&str> = row.try_get(7)?;
                let is_of_thread = selection.thread.is_none()
                    || thread.is_some_and(|it| selection.takes_thread(it));
                if !selection.takes(&owner) || !is_of_thread {
                    continue;
                }
                write(Line::Attachment(AttachmentLine {
                    owner,
                    id: row.try_get::<&str>(2)?.into(),
                    name: row.try_get(3)?,
                    mime_type: row.try_get(4)?,
                    size: row.try_get(5)?,
                    blob: row.try_get(6)?,
                    thread_id: thread.map(ThreadId::from),
                    created_at: row.try_get(8)?,
                    metadata: json(row, 9)?,
                }))?;
            }
        }
    }

    async fn export_kv(
        &self,
        selection: &Selection,
        write: &mut impl FnMut(Line) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = (String::new(), String::new(), String::new());
        loop {
            let query = query(KV).bind(&after.0).bind(&after.1).bind(&after.2).bind(PAGE);
            let rows = self.page(query).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = (last.try_get(0)?, last.try_get(1)?, last.try_get(2)?);
            for row in &rows {
                let scope: String = row.try_get(1)?;
                let (thread, owner): (Option<&str>, Option<&str>) =
                    (row.try_get(4)?, row.try_get(5)?);
                let is_chosen = match (thread, owner, scope.strip_prefix("user:")) {
                    (Some(thread), Some(owner), _) => {
                        selection.takes(owner) && selection.takes_thread(thread)
                    }
                    (_, _, Some(user)) => selection.takes(user) && selection.thread.is_none(),
                    _ => selection.is_all(),
                };
                if is_chosen {
                    write(Line::Kv(KvLine {
                        plugin: row.try_get(0)?,
                        scope,
                        name: row.try_get(2)?,
                        value: json(row, 3)?,
                        thread_id: thread.map(ThreadId::from),
                    }))?;
                }
            }
        }
    }

    async fn export_sealed(
        &self,
        selection: &Selection,
        write: &mut impl FnMut(Line) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut after = i64::MIN;
        loop {
            let rows = self.page(query(SEALED).bind(after).bind(PAGE)).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.try_get(0)?;
            for row in &rows {
                let owner: String = row.try_get(1)?;
                if selection.takes(&owner) {
                    let bytes: &[u8] = row.try_get(5)?;
                    write(Line::Sealed(SealedLine {
                        owner,
                        kind: row.try_get(2)?,
                        name: row.try_get(3)?,
                        key_id: row.try_get(4)?,
                        base64: BASE64_STANDARD.encode(bytes),
                        created_at: row.try_get(6)?,
                        updated_at: row.try_get(7)?,
                        expires_at: row.try_get(8)?,
                    }))?;
                }
            }
        }
    }

    /// Takes lines of an export, all of them or none. Says what became of each; one that is there already, by its id, is left
    /// as it is.
    pub async fn import(&self, lines: &[Line]) -> Result<Vec<Imported>, StoreError> {
        let database = self.database()?;
        let work = || async {
            let mut transaction = database.begin().await?;
            let mut imported = Vec::with_capacity(lines.len());
            for line in lines {
                imported.push(import(&mut transaction, line).await?);
            }
            transaction.commit().await?;
            Ok(imported)
        };
        database.again(work).await
    }
}

async fn import(connection: &mut Connection<'_>, line: &Line) -> Result<Imported, StoreError> {
    let added = |rows| if rows > 0 { Imported::Added } else { Imported::Existing };
    match line {
        Line::Header(_) => Ok(Imported::Existing),
        Line::Thread(ThreadLine { owner, thread, page }) => {
            let add = query(ADD_THREAD)
                .bind(thread.id.as_str())
                .bind(owner)
                .bind(thread.created_at.as_microsecond())
                .bind(serde_json::to_string(thread)?)
                .bind(serde_json::to_string(page)?);
            let rows = add.execute(connection).await?;
            let find = query("select owner from threads where id = $1").bind(thread.id.as_str());
            let row = find.fetch_optional(connection).await?.ok_or(StoreError::NotFound)?;
            if row.try_get::<&str>(0)? == owner {
                return Ok(added(rows));
            }
            Ok(Imported::Refused(format!("the thread `{}` is another user's", thread.id)))
        }
        Line::Item(line) => import_item(connection, line).await,
        Line::Attachment(line) => {
            let thread = line.thread_id.as_ref().map(ThreadId::as_str);
            let add = query(ADD_ATTACHMENT)
                .bind(line.id.as_str())
                .bind(&line.owner)
                .bind(&line.name)
                .bind(&line.mime_type)
                .bind(line.size)
                .bind(&line.blob)
                .bind(thread)
                .bind(line.created_at)
                .bind(line.metadata.to_string());
            match add.execute(connection).await? {
                0 => missing_thread(connection, thread).await,
                rows => Ok(added(rows)),
            }
        }
        Line::Kv(line) => {
            let thread = line.thread_id.as_ref().map(ThreadId::as_str);
            let add = query(ADD_KV)
                .bind(&line.plugin)
                .bind(&line.scope)
                .bind(&line.name)
                .bind(line.value.to_string())
                .bind(thread);
            match add.execute(connection).await? {
                0 => missing_thread(connection, thread).await,
                rows => Ok(added(rows)),
            }
        }
        Line::Sealed(line) => {
            let Ok(bytes) = BASE64_STANDARD.decode(&line.base64) else {
                return Ok(Imported::Refused("its `base64` is none".to_owned()));
            };
            let add = query(ADD_SEALED)
                .bind(&line.owner)
                .bind(&line.kind)
                .bind(&line.name)
                .bind(&line.key_id)
                .bind(&bytes)
                .bind(line.created_at)
                .bind(line.updated_at)
                .bind(line.expires_at);
            Ok(added(add.execute(connection).await?))
        }
        Line::Secret(line) => {
            let Ok(bytes) = BASE64_STANDARD.decode(&line.base64) else {
                return Ok(Imported::Refused("its `base64` is none".to_owned()));
            };
            let add = query(ADD_SECRET).bind(&line.name).bind(&bytes);
            Ok(added(add.execute(connection).await?))
        }
    }
}

async fn import_item(
    connection: &mut Connection<'_>,
    line: &ItemLine,
) -> Result<Imported, StoreError> {
    let row = items::Row::try_from(&line.item)?;
    let add = query(ADD_ITEM)
        .bind(line.thread_id.as_str())
        .bind(row.id.as_str())
        .bind(row.kind)
        .bind(i64::from(row.hidden))
        .bind(&line.generation)
        .bind(&row.json);
    let rows = add.execute(connection).await?;
    if rows == 0 {
        let find = query(
            "select t.id from items i join threads t on t.position = i.thread where i.id = $1",
        );
        let found = find.bind(row.id.as_str()).fetch_optional(connection).await?;
        let Some(found) = found else {
            return Ok(Imported::Refused(format!("there is no thread `{}`", line.thread_id)));
        };
        if found.try_get::<&str>(0)? != line.thread_id.as_str() {
            return Ok(Imported::Refused(format!("the item `{}` is in another thread", row.id)));
        }
    }
    if let Some(feedback) = &line.feedback {
        let add = query(ADD_FEEDBACK)
            .bind(row.id.as_str())
            .bind(&feedback.kind)
            .bind(feedback.created_at);
        add.execute(connection).await?;
    }
    Ok(if rows > 0 { Imported::Added } else { Imported::Existing })
}

/// Whether a line was not taken because the thread is missing that it goes with.
async fn missing_thread(
    connection: &mut Connection<'_>,
    thread: Option<&str>,
) -> Result<Imported, StoreError> {
    let Some(thread) = thread else { return Ok(Imported::Existing) };
    let query = query("select 1 from threads where id = $1").bind(thread);
    Ok(match query.fetch_optional(connection).await? {
        Some(_) => Imported::Existing,
        None => Imported::Refused(format!("there is no thread `{thread}`")),
    })
}

fn json<T: serde::de::DeserializeOwned>(row: &Row, column: usize) -> Result<T, StoreError> {
    Ok(serde_json::from_str(row.try_get(column)?)?)
}
