use std::{collections::BTreeMap, time::Duration};

/// What somebody may take of the server: a user, an organisation, or an address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quota(Vec<(Measure, u64)>);

/// What is measured, over which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Measure {
    RequestsPerMinute,
    TurnsPerMinute,
    TurnsPerDay,
    TokensPerDay,
    UploadBytesPerDay,
    /// Turns that run, each with its event stream, at one time.
    Streams,
}

/// `[retention]`: how long threads are kept in which nothing happens; for ever where nothing says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetentionConfig {
    pub threads: Option<Duration>,
    /// By organisation, in place of that.
    pub orgs: BTreeMap<String, Duration>,
}

impl RetentionConfig {
    /// Of somebody of this organisation.
    pub fn of(&self, org: Option<&str>) -> Option<Duration> {
        org.and_then(|it| self.orgs.get(it)).copied().or(self.threads)
    }
}

impl Quota {
    /// Of what is measured and is limited.
    pub fn new(limits: Vec<(Measure, u64)>) -> Self {
        Self(limits)
    }

    /// None: as much as one likes.
    pub fn of(&self, measure: Measure) -> Option<u64> {
        self.0.iter().find(|(it, _)| *it == measure).map(|(_, limit)| *limit)
    }
}

impl Measure {
    pub const ALL: [Self; 6] = [
        Self::RequestsPerMinute,
        Self::TurnsPerMinute,
        Self::TurnsPerDay,
        Self::TokensPerDay,
        Self::UploadBytesPerDay,
        Self::Streams,
    ];

    /// As in kitfox.toml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests_per_minute",
            Self::TurnsPerMinute => "turns_per_minute",
            Self::TurnsPerDay => "turns_per_day",
            Self::TokensPerDay => "tokens_per_day",
            Self::UploadBytesPerDay => "upload_bytes_per_day",
            Self::Streams => "streams",
        }
    }

    /// What there is too much of, for people.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests a minute",
            Self::TurnsPerMinute => "messages a minute",
            Self::TurnsPerDay => "messages a day",
            Self::TokensPerDay => "tokens a day",
            Self::UploadBytesPerDay => "uploaded bytes a day",
            Self::Streams => "answers at one time",
        }
    }

    /// After how long the count begins anew; none for what is counted while it lasts.
    pub const fn window(self) -> Option<Duration> {
        match self {
            Self::RequestsPerMinute | Self::TurnsPerMinute => Some(Duration::from_mins(1)),
            Self::TurnsPerDay | Self::TokensPerDay | Self::UploadBytesPerDay => {
                Some(Duration::from_hours(24))
            }
            Self::Streams => None,
        }
    }
}
