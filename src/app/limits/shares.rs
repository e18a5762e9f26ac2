use super::ASK_AGAIN;

/// What this process has of one limit: a block that it took from the store, and what it last heard of the rest.
#[derive(Debug, Default)]
pub struct Share {
    since: i64,
    /// Taken from the store and not used.
    block: u64,
    /// Taken from the store by everybody, as it was last heard.
    total: u64,
    /// Seconds since 1970: the limit was reached then.
    reached: Option<i64>,
    /// That little is left was told.
    is_told: bool,
}

/// What came of taking something.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// How much is left, where that is little and news.
    Yes {
        left: Option<u64>,
    },
    No,
    /// The store is to be asked for so much.
    Ask {
        block: u64,
    },
}

/// Of a limit is taken at once: no more than a sixteenth, so that others find something as well.
const PARTS: u64 = 16;
/// No more than this at once, however high the limit is.
const MOST: u64 = 1000;

impl Share {
    pub fn is_of(&self, since: i64) -> bool {
        self.since == since
    }

    pub fn take(&mut self, since: i64, limit: u64, amount: u64, now: i64) -> Taken {
        self.begin(since);
        if self.block >= amount {
            self.block -= amount;
            let left = limit.saturating_sub(self.total) + self.block;
            let left = self.is_news(since, left, limit).then_some(left);
            return Taken::Yes { left };
        }
        let is_waiting =
            self.reached.is_some_and(|it| now < it + ASK_AGAIN.as_secs().cast_signed());
        if is_waiting || amount > limit {
            return Taken::No;
        }
        Taken::Ask { block: (limit / PARTS).min(MOST).max(amount) }
    }

    /// Notes a block that the store counts from now on, when everybody has `total`, and says how much of it is beyond
    /// the limit.
    pub fn lease(&mut self, since: i64, limit: u64, total: i64, block: i64, now: i64) -> i64 {
        let total = u64::try_from(total).unwrap_or_default();
        let block = u64::try_from(block).unwrap_or_default();
        let excess = total.saturating_sub(limit).min(block);
        if self.since == since {
            self.block += block - excess;
            self.total = total - excess;
            self.reached = (excess > 0).then_some(now);
        }
        i64::try_from(excess).unwrap_or_default()
    }

    /// Takes back that something was used.
    pub fn put_back(&mut self, amount: u64) {
        self.block += amount;
    }

    pub fn unused(&self, since: i64) -> u64 {
        if self.since == since { self.block } else { 0 }
    }

    /// Whether it is to be told now that so much is left: once, when a tenth is left or less.
    pub fn is_news(&mut self, since: i64, left: u64, limit: u64) -> bool {
        self.begin(since);
        let is_little = left <= limit / 10;
        let is_news = is_little && !self.is_told;
        self.is_told |= is_little;
        is_news
    }

    fn begin(&mut self, since: i64) {
        if self.since != since {
            *self = Self { since, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store and as many processes as there are shares.
    fn take(store: &mut i64, share: &mut Share, limit: u64) -> Taken {
        loop {
            match share.take(60, limit, 1, 60) {
                taken @ (Taken::Yes { .. } | Taken::No) => return taken,
                Taken::Ask { block } => {
                    let block = i64::try_from(block).unwrap();
                    *store += block;
                    *store -= share.lease(60, limit, *store, block, 60);
                }
            }
        }
    }

    #[test]
    fn no_more_than_the_limit_is_taken_and_the_store_is_asked_seldom() {
        let (mut store, mut share) = (0, Share::default());
        let taken = (0..500).filter(|_| take(&mut store, &mut share, 160) != Taken::No).count();
        assert_eq!((taken, store), (160, 160));
    }

    #[test]
    fn two_processes_take_no_more_than_the_limit_together() {
        let (mut store, mut one, mut two) = (0, Share::default(), Share::default());
        let mut taken = 0;
        for _ in 0..500 {
            taken += usize::from(take(&mut store, &mut one, 100) != Taken::No);
            taken += usize::from(take(&mut store, &mut two, 100) != Taken::No);
        }
        assert_eq!(taken, 100);
    }

    #[test]
    fn that_little_is_left_is_told_once() {
        let (mut store, mut share) = (0, Share::default());
        let told: Vec<_> = (0..100).map(|_| take(&mut store, &mut share, 100)).collect();
        let told = told.iter().filter(|it| **it != Taken::Yes { left: None });
        assert_eq!(told.collect::<Vec<_>>(), [&Taken::Yes { left: Some(10) }]);
    }

    #[test]
    fn the_count_begins_anew_with_the_next_minute() {
        let mut share = Share::default();
        assert_eq!(share.take(0, 1, 1, 0), Taken::Ask { block: 1 });
        assert_eq!(share.lease(0, 1, 2, 1, 0), 1);
        assert_eq!(share.take(0, 1, 1, 0), Taken::No);
        assert_eq!(share.take(60, 1, 1, 60), Taken::Ask { block: 1 });
    }

    #[test]
    fn a_limit_of_nothing_lets_nothing_through() {
        assert_eq!(Share::default().take(0, 0, 1, 0), Taken::No);
    }
}
