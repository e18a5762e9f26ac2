use sqlx::{
    Error, error::DatabaseError, mysql::MySqlDatabaseError, postgres::PgDatabaseError,
    sqlite::SqliteError,
};
use tracing::error;

use super::StoreError;

/// What a statement failed by that may have been done or not.
const LOST: &str = "the connection to the database was lost";
const DEADLOCK: &str = "the database ended a deadlock";

impl StoreError {
    pub fn closed() -> Self {
        Self::Unavailable("it is closed".to_owned())
    }

    /// Nobody knows whether it was done.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Unavailable(problem) if problem == LOST)
    }

    /// It was undone, and would succeed when it is done again.
    pub fn is_deadlock(&self) -> bool {
        matches!(self, Self::Unavailable(problem) if problem == DEADLOCK)
    }

    pub fn is_duplicate(&self) -> bool {
        match self {
            Self::Failed(err) => err
                .downcast_ref::<Error>()
                .and_then(Error::as_database_error)
                .is_some_and(DatabaseError::is_unique_violation),
            Self::NotFound | Self::BadCursor | Self::Unavailable(_) => false,
        }
    }
}

impl From<Error> for StoreError {
    fn from(err: Error) -> Self {
        if is_lost(&err) {
            return Self::Unavailable(LOST.to_owned());
        }
        let Some(database) = err.as_database_error() else {
            return Self::Failed(err.into());
        };
        // The thread that it belongs to was taken away meanwhile.
        if database.is_foreign_key_violation() {
            return Self::NotFound;
        }
        match unusable(database) {
            Some(DEADLOCK) => Self::Unavailable(DEADLOCK.to_owned()),
            Some(reason) => {
                error!("the database cannot be used: {reason}: {err}");
                Self::Unavailable(reason.to_owned())
            }
            None => Self::Failed(err.into()),
        }
    }
}

/// Whether the connection is of no use any more.
pub fn is_lost(err: &Error) -> bool {
    match err {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) => true,
        Error::Database(err) => {
            if let Some(err) = err.try_downcast_ref::<PgDatabaseError>() {
                // Class 57: the server ends. 08: the connection does.
                return ["57P", "08"].iter().any(|class| err.code().starts_with(class));
            }
            let err = err.try_downcast_ref::<MySqlDatabaseError>();
            // The server shuts down, killed the connection, or gave it up as idle.
            err.is_some_and(|err| {
                [1053, 1077, 1079, 1152, 1184, 1927, 4031].contains(&err.number())
            })
        }
        _ => false,
    }
}

/// What keeps every statement from working, and passes without us: then a request is refused before anything is done, and can
/// be sent again.
fn unusable(err: &(dyn DatabaseError + 'static)) -> Option<&'static str> {
    if let Some(err) = err.try_downcast_ref::<PgDatabaseError>() {
        return unusable_in_postgres(err.code());
    }
    if let Some(err) = err.try_downcast_ref::<MySqlDatabaseError>() {
        return unusable_in_mysql(err.number());
    }
    let err = err.try_downcast_ref::<SqliteError>()?;
    unusable_in_sqlite(DatabaseError::code(err)?.parse::<u32>().ok()? & 0xff)
}

/// By <https://www.sqlite.org/rescode.html>.
const fn unusable_in_sqlite(code: u32) -> Option<&'static str> {
    match code {
        5 => Some("another process keeps the database busy: try again, or stop that process"),
        8 => Some("the database is read-only"),
        10 => Some("the database's disk fails"),
        13 => Some("the database's disk is full"),
        14 => Some("the database's file cannot be opened"),
        _ => None,
    }
}

/// By <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn unusable_in_postgres(code: &str) -> Option<&'static str> {
    match code {
        "40001" | "40P01" => Some(DEADLOCK),
        "57014" => Some("a statement took longer than `statement_timeout` in [store]"),
        "55P03" => Some("another process keeps the database busy: try again, or stop that process"),
        "25006" => Some("the database is read-only"),
        "53100" => Some("the database's disk is full"),
        "53200" => Some("the database's memory is full"),
        "53300" => Some("the database takes no more connections"),
        _ => None,
    }
}

/// By <https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html> and
/// <https://mariadb.com/docs/server/reference/error-codes>.
const fn unusable_in_mysql(number: u16) -> Option<&'static str> {
    match number {
        1213 => Some(DEADLOCK),
        1205 => Some("another process keeps the database busy: try again, or stop that process"),
        1317 | 1969 | 3024 => Some("a statement took longer than `statement_timeout` in [store]"),
        1290 | 1792 | 1836 => Some("the database is read-only"),
        1021 | 1114 => Some("the database's disk is full"),
        1037 | 1038 | 1041 => Some("the database's memory is full"),
        1040 | 1203 | 1226 => Some("the database takes no more connections"),
        _ => None,
    }
}

/// Why there is no connection, and what to do. It is told to clients of /readyz: nothing secret, no address.
pub fn describe_connect(err: &Error) -> String {
    let Error::Database(database) = err else {
        return match err {
            Error::Io(err) if err.kind() == std::io::ErrorKind::TimedOut => {
                "the database server does not answer: see that it runs, and that `url` in [store] names its host and port".to_owned()
            }
            Error::Io(err) => {
                format!("the database server cannot be reached: {err}: see that it runs, and that `url` in [store] names its host and port")
            }
            Error::Tls(err) => format!(
                "there is no TLS with the database server: {err}: see `sslmode` in `url` in [store], and its certificates"
            ),
            err => format!("the database cannot be connected to: {err}"),
        };
    };
    let remedy = match database.code().as_deref() {
        Some("28P01" | "28000") => "see the user in `url` and `password` in [store]",
        Some("3D000" | "42000") => "create the database, or see its name in `url` in [store]",
        Some("57P03") => "it is starting or stopping: wait",
        Some("53300" | "08004") => "lower `pool` in [store], or raise the server's limit",
        Some(_) | None => "see the server's log",
    };
    format!("the database server refuses the connection: {}: {remedy}", database.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_cannot_do_now_may_be_tried_again() {
        assert!(unusable_in_postgres("53100").is_some_and(|it| it.contains("full")));
        assert_eq!(unusable_in_postgres("23505"), None);
        assert_eq!(unusable_in_mysql(1213), Some(DEADLOCK));
        assert_eq!(unusable_in_mysql(1062), None);
        assert!(unusable_in_sqlite(5).is_some_and(|it| it.contains("busy")));
        assert_eq!(unusable_in_sqlite(19), None);
        assert!(StoreError::from(Error::Io(std::io::ErrorKind::BrokenPipe.into())).is_in_doubt());
    }
}
