use jiff::Timestamp;

use super::{Ciphertext, Store, StoreError, UserStore, query::query};
use crate::user::UserKey;

/// A browser that is logged in.
#[derive(Clone)]
pub struct Login {
    /// A hash of what the browser has: it opens nothing itself.
    pub id: String,
    pub owner: UserKey,
    /// What is known of the user.
    pub content: Ciphertext,
    pub seen_at: Timestamp,
    /// It counts no longer, used or not.
    pub expires_at: Timestamp,
}

const ADD: &str = "
    insert into logins (id, owner, key_id, bytes, seen_at, expires_at) values ($1, $2, $3, $4, $5, $6)";

const FIND: &str = "
    select id, owner, key_id, bytes, seen_at, expires_at from logins where id = $1";

const TOUCH: &str = "update logins set seen_at = $2 where id = $1";

const DELETE: &str = "delete from logins where id = $1";

const DELETE_ALL: &str = "delete from logins where owner = $1";

const DELETE_TOKENS: &str = "delete from sealed where owner = $1 and kind = 'tokens' and name = $2";

const DELETE_ALL_TOKENS: &str =
    "delete from sealed where owner = $1 and kind = 'tokens' and name like 'login:%'";

const ENDED: &str = "select id, owner from logins where expires_at < $1 order by id limit 500";

impl Login {
    /// What the tokens that came with it are kept as.
    pub fn tokens_name(id: &str) -> String {
        format!("login:{id}")
    }
}

// Whose a login is, only the login says.
impl Store {
    pub async fn add_login(&self, login: &Login) -> Result<(), StoreError> {
        let query = query(ADD)
            .bind(&login.id)
            .bind(login.owner.as_str())
            .bind(&login.content.key_id)
            .bind(&login.content.bytes)
            .bind(login.seen_at.as_microsecond())
            .bind(login.expires_at.as_microsecond());
        self.database()?.execute(query).await?;
        Ok(())
    }

    pub async fn find_login(&self, id: &str) -> Result<Option<Login>, StoreError> {
        let row = self.database()?.fetch_optional(query(FIND).bind(id)).await?;
        let Some(row) = row else { return Ok(None) };
        let time = |microseconds: i64| {
            Timestamp::from_microsecond(microseconds).map_err(|err| StoreError::Failed(err.into()))
        };
        Ok(Some(Login {
            id: row.try_get("id")?,
            owner: UserKey::from_stored(row.try_get("owner")?),
            content: Ciphertext { key_id: row.try_get("key_id")?, bytes: row.try_get("bytes")? },
            seen_at: time(row.try_get("seen_at")?)?,
            expires_at: time(row.try_get("expires_at")?)?,
        }))
    }

    /// Takes note that it is in use.
    pub async fn touch_login(&self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let query = query(TOUCH).bind(id).bind(now.as_microsecond());
        self.database()?.execute(query).await?;
        Ok(())
    }

    /// Ends a login of this user, and takes the tokens away that came with it. Says whether it was there.
    pub async fn delete_login(&self, id: &str, owner: &UserKey) -> Result<bool, StoreError> {
        let database = self.database()?;
        let tokens = Login::tokens_name(id);
        database.execute(query(DELETE_TOKENS).bind(owner.as_str()).bind(&tokens)).await?;
        Ok(database.execute(query(DELETE).bind(id)).await? > 0)
    }

    /// Takes away the logins that ended before `now`.
    pub async fn sweep_ended_logins(&self, now: Timestamp) -> Result<(), StoreError> {
        loop {
            let query = query(ENDED).bind(now.as_microsecond());
            let rows = self.database()?.fetch_all(query).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in &rows {
                let owner = UserKey::from_stored(row.try_get("owner")?);
                self.delete_login(row.try_get("id")?, &owner).await?;
            }
        }
    }
}

impl UserStore<'_> {
    /// Logs the user out of every browser; says of how many.
    pub async fn delete_logins(&self) -> Result<u64, StoreError> {
        let database = self.store.database()?;
        database.execute(query(DELETE_ALL_TOKENS).bind(self.user.as_str())).await?;
        database.execute(query(DELETE_ALL).bind(self.user.as_str())).await
    }
}
