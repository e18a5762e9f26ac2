use jiff::Timestamp;
use serde::Deserialize;

use super::{Store, StoreError, UserStore, query::query};
use crate::{chatkit::ThreadId, user::UserKey};

const OWNERS: &str = "select distinct owner from threads";
const OLD: &str = "select id from threads where owner = $1 and created_at < $2";
const LAST_ITEM: &str = "select i.json from items i join threads t on t.position = i.thread \
     where t.id = $1 and t.owner = $2 order by i.position desc limit 1";
const ADD_ORG: &str =
    "insert into organisations (subject, org) values ($1, $2) on conflict (subject) do nothing";
const SET_ORG: &str = "update organisations set org = $1 where subject = $2";
const FIND_ORG: &str = "select org from organisations where subject = $1";

/// What tells when an item was made.
#[derive(Deserialize)]
struct Dated {
    created_at: Option<Timestamp>,
}

impl Store {
    /// All who have threads.
    pub async fn owners_of_threads(&self) -> Result<Vec<UserKey>, StoreError> {
        let rows = self.database()?.fetch_all(query(OWNERS)).await?;
        let mut owners = Vec::with_capacity(rows.len());
        for row in rows {
            owners.push(UserKey::from_stored(row.try_get(0)?));
        }
        Ok(owners)
    }
}

impl UserStore<'_> {
    /// The threads in which nothing has happened since `time`.
    pub async fn threads_at_rest(&self, time: Timestamp) -> Result<Vec<ThreadId>, StoreError> {
        let owner = self.user.as_str();
        let database = self.store.database()?;
        let old = query(OLD).bind(owner).bind(time.as_microsecond());
        let mut threads = Vec::new();
        for row in database.fetch_all(old).await? {
            let thread: String = row.try_get(0)?;
            let last = query(LAST_ITEM).bind(&thread).bind(owner);
            let last = database.fetch_optional(last).await?;
            let json: Option<String> = last.map(|it| it.try_get(0)).transpose()?;
            let dated = json.and_then(|it| serde_json::from_str::<Dated>(&it).ok());
            // What only the model sees may have no time: what was before it is about as old.
            if dated.and_then(|it| it.created_at).is_none_or(|it| it < time) {
                threads.push(ThreadId::from(thread));
            }
        }
        Ok(threads)
    }

    /// Notes of which organisation the user is; empty: of none.
    pub async fn save_org(&self, org: &str) -> Result<(), StoreError> {
        let subject = self.user.pseudonym();
        let database = self.store.database()?;
        database.execute(query(ADD_ORG).bind(&subject).bind(org)).await?;
        database.execute(query(SET_ORG).bind(org).bind(&subject)).await?;
        Ok(())
    }

    /// None: of none, as far as is known.
    pub async fn find_org(&self) -> Result<Option<String>, StoreError> {
        let find = query(FIND_ORG).bind(self.user.pseudonym());
        let row = self.store.database()?.fetch_optional(find).await?;
        let org: Option<String> = row.map(|it| it.try_get(0)).transpose()?;
        Ok(org.filter(|it| !it.is_empty()))
    }
}
