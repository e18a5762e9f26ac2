use std::{fmt, path::PathBuf, str::FromStr};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{ConnectOptions, mysql::MySqlConnectOptions, postgres::PgConnectOptions};
use url::Url;

/// Where the database is.
#[derive(Clone)]
pub enum DatabaseUrl {
    Memory,
    File(PathBuf),
    Postgres(ServerUrl, Box<PgConnectOptions>),
    MySql(ServerUrl, Box<MySqlConnectOptions>),
}

/// A database on a server, as it may be shown: without a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

const REMEDY: &str = "use `sqlite://kitfox.db`, `postgres://user@host/database` or `mysql://user@host/database` as `url` in [store]";

/// Words for what a server's URL may ask for, as PostgreSQL has them and as MySQL has them.
const PARAMETERS: &[(&str, Option<&str>)] = &[
    ("sslmode", Some("ssl-mode")),
    ("sslrootcert", Some("ssl-ca")),
    ("sslcert", Some("ssl-cert")),
    ("sslkey", Some("ssl-key")),
    ("statement-cache-capacity", Some("statement-cache-capacity")),
    ("host", None),
    ("options", None),
    ("options[search_path]", None),
    ("socket", Some("socket")),
];

const SSL_MODES: &[(&str, &str)] = &[
    ("disable", "DISABLED"),
    ("prefer", "PREFERRED"),
    ("require", "REQUIRED"),
    ("verify-ca", "VERIFY_CA"),
    ("verify-full", "VERIFY_IDENTITY"),
];

impl DatabaseUrl {
    /// Fails with what is wrong and what to do, and nothing of a password.
    pub fn parse(url: &str, password: Option<&SecretString>) -> Result<Self, String> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(format!("`{url}` is not the URL of a database: {REMEDY}"));
        };
        match scheme {
            "sqlite" => Self::parse_sqlite(url, rest),
            "postgres" | "postgresql" | "mysql" | "mariadb" => {
                Self::parse_server(url, scheme, password)
            }
            _ => Err(format!("`{scheme}:` is not a database that this version has: {REMEDY}")),
        }
    }

    fn parse_sqlite(url: &str, rest: &str) -> Result<Self, String> {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match path {
            ":memory:" => Ok(Self::Memory),
            "" => Err(format!("`{url}` names no file: {REMEDY}")),
            path if path.contains('?') => Err(format!(
                "`{url}` has parameters, and none are known: leave out what begins with `?`"
            )),
            path => Ok(Self::File(path.into())),
        }
    }

    fn parse_server(
        url: &str,
        scheme: &str,
        password: Option<&SecretString>,
    ) -> Result<Self, String> {
        let is_postgres = scheme.starts_with("postgres");
        // What is wrong with it may be within the password: it is not shown.
        let mut url = Url::from_str(url).map_err(|err| {
            format!("the URL that begins with `{scheme}:` cannot be read: {err}: {REMEDY}, and percent-encode what stands in it, or set `password` apart")
        })?;
        let database = url.path().trim_start_matches('/').to_owned();
        let shown = shown(&url);
        if database.is_empty() {
            return Err(format!("`{shown}` names no database: {REMEDY}"));
        }
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        url.set_query(None);
        for (key, value) in pairs {
            let known = PARAMETERS.iter().find(|(name, _)| *name == key);
            let Some((name, in_mysql)) = known else {
                return Err(unknown_parameter(&shown, &key, is_postgres));
            };
            let mode = SSL_MODES.iter().find(|(mode, _)| *mode == value);
            let (name, value) = match (is_postgres, in_mysql, mode) {
                (_, _, None) if *name == "sslmode" => {
                    let modes: Vec<_> =
                        SSL_MODES.iter().map(|(mode, _)| format!("`{mode}`")).collect();
                    return Err(format!(
                        "`{shown}` has no known `sslmode`: use one of {}",
                        modes.join(", ")
                    ));
                }
                (true, _, _) if *name == "socket" => ("host", value.as_str()),
                (true, _, _) => (*name, value.as_str()),
                (false, Some(name), Some((_, mode))) => (*name, *mode),
                (false, Some(name), None) => (*name, value.as_str()),
                (false, None, _) => return Err(unknown_parameter(&shown, &key, is_postgres)),
            };
            url.query_pairs_mut().append_pair(name, value);
        }
        let unusable = |err: sqlx::Error| format!("`{shown}` cannot be used: {err}");
        let server = ServerUrl(shown.clone());
        let password = password.map(ExposeSecret::expose_secret).filter(|it| !it.is_empty());
        if is_postgres {
            let mut options = PgConnectOptions::from_url(&url).map_err(unusable)?;
            if let Some(password) = password {
                options = options.password(password);
            }
            let options = options.application_name("kitfox").disable_statement_logging();
            return Ok(Self::Postgres(server, Box::new(options)));
        }
        let mut options = MySqlConnectOptions::from_url(&url).map_err(unusable)?;
        if let Some(password) = password {
            options = options.password(password);
        }
        Ok(Self::MySql(server, Box::new(options.disable_statement_logging())))
    }

    /// Whether it is on a server, which may be away.
    pub const fn is_server(&self) -> bool {
        matches!(self, Self::Postgres(..) | Self::MySql(..))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("sqlite::memory:"),
            Self::File(path) => write!(f, "sqlite://{}", path.display()),
            Self::Postgres(url, _) | Self::MySql(url, _) => f.write_str(&url.0),
        }
    }
}

fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // They fail for a URL without a host, which holds no password either.
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.to_string()
}

fn unknown_parameter(shown: &str, key: &str, is_postgres: bool) -> String {
    let known = PARAMETERS.iter().filter(|(_, in_mysql)| is_postgres || in_mysql.is_some());
    let known: Vec<_> = known.map(|(name, _)| format!("`{name}`")).collect();
    format!("`{shown}` has a parameter that is not known: `{key}`: use one of {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(url: &str) -> String {
        DatabaseUrl::parse(url, None).err().expect("it is wrong")
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            (
                "postgres://me:secret@db.example:5433/kitfox?sslmode=disable",
                "postgres://me@db.example:5433/kitfox",
            ),
            ("mariadb://me:secret@db/kitfox?sslmode=verify-full", "mariadb://me@db/kitfox"),
            ("sqlite://a/b.db", "sqlite://a/b.db"),
        ] {
            assert_eq!(DatabaseUrl::parse(url, None).expect(url).to_string(), shown);
        }
    }

    #[test]
    fn a_url_that_is_wrong_says_why_and_keeps_its_password() {
        for url in [
            "postgres://me:secret@host",
            "postgres://me:secret@host/db?sslmod=require",
            "postgres://me:secret@host/db?sslmode=yes",
            "mysql://me:secret@host/db?options=x",
            "mysql://me:sec/ret@host:port/db",
        ] {
            assert!(!problem(url).contains("sec"), "{}", problem(url));
        }
        assert!(problem("postgres://me@host").contains("names no database"));
        assert!(problem("mysql://me@host/db?options=x").contains("`sslmode`"));
        assert!(problem("postgres://host/db?sslmode=yes").contains("`verify-full`"));
    }
}
