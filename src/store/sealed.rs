use jiff::Timestamp;

use super::{
    Store, StoreError, UserStore,
    query::{Row, query},
};
use crate::{chatkit::now, user::UserKey};

/// What a sealed value is. The same name of two kinds is two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedKind {
    /// A credential that the user entered.
    Entered,
    /// The tokens of a login at another server.
    Tokens,
    /// A login that has begun.
    Login,
    /// What another server knows this one as.
    Client,
}

/// A value that only its key opens.
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext {
    pub key_id: String,
    pub bytes: Vec<u8>,
}

/// A sealed value and what may be known of it without its key.
#[derive(Clone)]
pub struct Sealed {
    pub kind: SealedKind,
    pub name: String,
    pub ciphertext: Ciphertext,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

const SAVE: &str = "
    insert into sealed (owner, kind, name, key_id, bytes, created_at, updated_at, expires_at)
    values ($1, $2, $3, $4, $5, $6, $6, $7)
    on conflict (owner, kind, name) do update set
        key_id = excluded.key_id, bytes = excluded.bytes, updated_at = excluded.updated_at,
        expires_at = excluded.expires_at, lease = null, lease_until = null";

const FIND: &str = "
    select kind, name, key_id, bytes, created_at, updated_at, expires_at
    from sealed where owner = $1 and kind = $2 and name = $3";

const LIST: &str = "
    select kind, name, key_id, bytes, created_at, updated_at, expires_at
    from sealed where owner = $1 and kind = $2 order by name";

const DELETE: &str = "delete from sealed where owner = $1 and kind = $2 and name = $3";

const REPLACE: &str = "
    update sealed set key_id = $5, bytes = $6, updated_at = $7, expires_at = $8, lease = null, lease_until = null
    where owner = $1 and kind = $2 and name = $3 and bytes = $4";

const DELETE_UNCHANGED: &str =
    "delete from sealed where owner = $1 and kind = $2 and name = $3 and bytes = $4";

const LEASE: &str = "
    update sealed set lease = $4, lease_until = $5
    where owner = $1 and kind = $2 and name = $3 and (lease is null or lease = $4 or lease_until < $6)";

const RELEASE: &str = "
    update sealed set lease = null, lease_until = null
    where owner = $1 and kind = $2 and name = $3 and lease = $4";

/// Keeps its times: only its key is another.
const RESEAL: &str = "
    update sealed set key_id = $3, bytes = $4 where position = $1 and bytes = $2";

pub const OF_OTHER_KEYS: &str = "
    select kind, name, key_id, bytes, created_at, updated_at, expires_at, position, owner
    from sealed where key_id <> $1 and position > $2 order by position limit $3";

/// A row that is to be sealed with another key.
pub struct Resealable {
    pub position: i64,
    pub owner: UserKey,
    pub sealed: Sealed,
}

impl UserStore<'_> {
    /// Keeps a value in place of the one of its name. Whoever was replacing that is not waited for.
    pub async fn save_sealed(
        &self,
        kind: SealedKind,
        name: &str,
        ciphertext: &Ciphertext,
        expires_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let database = self.store.database()?;
        let query = query(SAVE)
            .bind(self.user.as_str())
            .bind(kind.column())
            .bind(name)
            .bind(&ciphertext.key_id)
            .bind(&ciphertext.bytes)
            .bind(now().as_microsecond())
            .bind(expires_at.map(Timestamp::as_microsecond));
        database.execute(query).await?;
        Ok(())
    }

    pub async fn find_sealed(
        &self,
        kind: SealedKind,
        name: &str,
    ) -> Result<Option<Sealed>, StoreError> {
        let database = self.store.database()?;
        let query = query(FIND).bind(self.user.as_str()).bind(kind.column()).bind(name);
        let row = database.fetch_optional(query).await?;
        row.as_ref().map(read).transpose()
    }

    /// By name.
    pub async fn list_sealed(&self, kind: SealedKind) -> Result<Vec<Sealed>, StoreError> {
        let database = self.store.database()?;
        let query = query(LIST).bind(self.user.as_str()).bind(kind.column());
        let rows = database.fetch_all(query).await?;
        rows.iter().map(read).collect()
    }

    /// Says whether it was there.
    pub async fn delete_sealed(&self, kind: SealedKind, name: &str) -> Result<bool, StoreError> {
        let database = self.store.database()?;
        let query = query(DELETE).bind(self.user.as_str()).bind(kind.column()).bind(name);
        let done = database.execute(query).await?;
        Ok(done > 0)
    }

    /// Puts another value in the place of `old`, only if that is still there; says whether it did. The lease ends with it.
    pub async fn replace_sealed(
        &self,
        old: &Sealed,
        new: &Ciphertext,
        expires_at: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let database = self.store.database()?;
        let query = query(REPLACE)
            .bind(self.user.as_str())
            .bind(old.kind.column())
            .bind(&old.name)
            .bind(&old.ciphertext.bytes)
            .bind(&new.key_id)
            .bind(&new.bytes)
            .bind(now().as_microsecond())
            .bind(expires_at.map(Timestamp::as_microsecond));
        let done = database.execute(query).await?;
        Ok(done > 0)
    }

    /// Takes `old` away, only if it is still there; says whether it did.
    pub async fn delete_unchanged(&self, old: &Sealed) -> Result<bool, StoreError> {
        let database = self.store.database()?;
        let query = query(DELETE_UNCHANGED)
            .bind(self.user.as_str())
            .bind(old.kind.column())
            .bind(&old.name)
            .bind(&old.ciphertext.bytes);
        let done = database.execute(query).await?;
        Ok(done > 0)
    }

    /// Whether `holder` is from now on the one who may replace this value, until `until`.
    pub async fn lease_sealed(
        &self,
        kind: SealedKind,
        name: &str,
        holder: &str,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let database = self.store.database()?;
        let query = query(LEASE)
            .bind(self.user.as_str())
            .bind(kind.column())
            .bind(name)
            .bind(holder)
            .bind(until.as_microsecond())
            .bind(now().as_microsecond());
        let done = database.execute(query).await?;
        Ok(done > 0)
    }

    /// Gives a lease back, if `holder` still has it.
    pub async fn release_sealed(
        &self,
        kind: SealedKind,
        name: &str,
        holder: &str,
    ) -> Result<(), StoreError> {
        let database = self.store.database()?;
        let query =
            query(RELEASE).bind(self.user.as_str()).bind(kind.column()).bind(name).bind(holder);
        database.execute(query).await?;
        Ok(())
    }
}

// Keys are no user's, and their rows are everyone's: only who has the keys can make anything of them.
impl Store {
    /// The values that another key than `key_id` opens, at most `most` of those behind `position`.
    pub async fn list_sealed_otherwise(
        &self,
        key_id: &str,
        position: i64,
        most: u32,
    ) -> Result<Vec<Resealable>, StoreError> {
        let database = self.database()?;
        let query = query(OF_OTHER_KEYS).bind(key_id).bind(position).bind(most);
        let rows = database.fetch_all(query).await?;
        let found = rows.iter().map(|row| {
            let owner = UserKey::from_stored(row.try_get("owner")?);
            Ok(Resealable { position: row.try_get("position")?, owner, sealed: read(row)? })
        });
        found.collect()
    }

    /// Puts the same value, sealed with another key, in its place, only if it is still there; says whether it did.
    pub async fn reseal(&self, old: &Resealable, new: &Ciphertext) -> Result<bool, StoreError> {
        let database = self.database()?;
        let query = query(RESEAL)
            .bind(old.position)
            .bind(&old.sealed.ciphertext.bytes)
            .bind(&new.key_id)
            .bind(&new.bytes);
        let done = database.execute(query).await?;
        Ok(done > 0)
    }

    /// How many values each key opens.
    pub async fn count_sealed_by_key(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let database = self.database()?;
        let query = query("select key_id, count(*) from sealed group by key_id order by key_id");
        let rows = database.fetch_all(query).await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, u64::try_from(row.try_get::<i64>(1)?).unwrap_or(0))))
            .collect()
    }

    /// Takes away the logins that nobody came back from.
    pub async fn sweep_logins(&self) -> Result<(), StoreError> {
        let database = self.database()?;
        let query = query("delete from sealed where kind = $1 and expires_at < $2")
            .bind(SealedKind::Login.column())
            .bind(now().as_microsecond());
        database.execute(query).await?;
        Ok(())
    }
}

impl SealedKind {
    const ALL: [Self; 4] = [Self::Entered, Self::Tokens, Self::Login, Self::Client];

    /// As it is stored, and bound into what is sealed.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Tokens => "tokens",
            Self::Login => "login",
            Self::Client => "client",
        }
    }

    fn parse(column: &str) -> Result<Self, StoreError> {
        let kind = Self::ALL.into_iter().find(|it| it.column() == column);
        kind.ok_or_else(|| {
            StoreError::Failed(anyhow::anyhow!("`{column}` is no kind of sealed value"))
        })
    }
}

fn read(row: &Row) -> Result<Sealed, StoreError> {
    let time = |microseconds: i64| {
        Timestamp::from_microsecond(microseconds).map_err(|err| StoreError::Failed(err.into()))
    };
    Ok(Sealed {
        kind: SealedKind::parse(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        ciphertext: Ciphertext { key_id: row.try_get("key_id")?, bytes: row.try_get("bytes")? },
        created_at: time(row.try_get("created_at")?)?,
        updated_at: time(row.try_get("updated_at")?)?,
        expires_at: row.try_get::<Option<i64>>("expires_at")?.map(time).transpose()?,
    })
}
