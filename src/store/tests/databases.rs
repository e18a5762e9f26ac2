//! The databases that tests run on.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;
use tokio::task_local;
use url::Url;
use uuid::Uuid;

use crate::store::{Dialect, url::DatabaseUrl};

/// A database of a test's own, taken away with it.
pub struct TestDatabase {
    pub dialect: Dialect,
    name: String,
    /// Where databases are made; empty for SQLite.
    server: String,
    folder: TempDir,
}

task_local! {
    static CURRENT: Arc<TestDatabase>;
}

const LONGEST: Duration = Duration::from_secs(30);

/// Runs a test on SQLite, and on the servers that `KITFOX_TEST_POSTGRES` and `KITFOX_TEST_MYSQL` name.
pub fn on_each(test: impl AsyncFn()) {
    for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::MySql] {
        on(dialect, &test);
    }
}

/// The same, on one of them, if it is there.
pub fn on(dialect: Dialect, test: impl AsyncFn()) {
    if server_of(dialect).is_none() {
        return;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    insta::allow_duplicates! {
        runtime.as_ref().unwrap().block_on(async {
            let database = Arc::new(TestDatabase::create(dialect).await);
            CURRENT.scope(database, test()).await;
        });
    }
}

/// The database of the test that runs.
pub fn current() -> Arc<TestDatabase> {
    CURRENT.with(Arc::clone)
}

/// Where databases of a kind are made, if there is such a place.
fn server_of(dialect: Dialect) -> Option<String> {
    let variable = match dialect {
        Dialect::Sqlite => return Some(String::new()),
        Dialect::Postgres => "KITFOX_TEST_POSTGRES",
        Dialect::MySql => "KITFOX_TEST_MYSQL",
    };
    variable_of_tests(variable)
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says so, and no configuration"
)]
fn variable_of_tests(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}

impl TestDatabase {
    pub async fn create(dialect: Dialect) -> Self {
        let server = server_of(dialect).expect("the variable that names the server is set");
        let name = format!("kitfox_test_{}", Uuid::now_v7().simple());
        let database = Self { dialect, name, server, folder: tempfile::tempdir().unwrap() };
        match dialect {
            Dialect::Sqlite => (),
            Dialect::Postgres => database.execute(format!("create schema {}", database.name)).await,
            Dialect::MySql => database.execute(format!("create database {}", database.name)).await,
        }
        database
    }

    /// What `KITFOX_TEST_STORE` asks for, where the whole server is tested on another database than SQLite in memory.
    pub async fn asked_for() -> Option<Self> {
        match variable_of_tests("KITFOX_TEST_STORE")?.as_str() {
            "postgres" => Some(Self::create(Dialect::Postgres).await),
            "mysql" => Some(Self::create(Dialect::MySql).await),
            "sqlite" => None,
            other => panic!("KITFOX_TEST_STORE is `{other}`: use sqlite, postgres or mysql"),
        }
    }

    pub fn url(&self) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("sqlite://{}/kitfox.db", self.folder.path().display()),
            Dialect::Postgres => {
                let mut url = Url::parse(&self.server).unwrap();
                url.query_pairs_mut().append_pair("options[search_path]", &self.name);
                url.into()
            }
            Dialect::MySql => {
                let mut url = Url::parse(&self.server).unwrap();
                url.set_path(&self.name);
                url.into()
            }
        }
    }

    /// Executes a statement apart from the store that is tested.
    pub async fn execute(&self, sql: String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let sql = AssertSqlSafe(sql);
        match DatabaseUrl::parse(&self.server, None) {
            Ok(DatabaseUrl::Postgres(_, options)) => {
                let mut connection = options.connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Ok(DatabaseUrl::MySql(_, options)) => {
                let mut connection = options.connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Ok(DatabaseUrl::Memory | DatabaseUrl::File(_)) | Err(_) => {
                panic!("no server's URL: `{}`", self.server)
            }
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let sql = match self.dialect {
            Dialect::Sqlite => return,
            Dialect::Postgres => {
                format!("set lock_timeout = '5s'; drop schema if exists {} cascade", self.name)
            }
            Dialect::MySql => format!("drop database if exists {}", self.name),
        };
        // Apart from the test's runtime, which may be ending.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let _ = runtime
                    .block_on(async { tokio::time::timeout(LONGEST, self.execute(sql)).await });
            });
        });
    }
}
