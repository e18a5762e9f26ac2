//! What operations take of their callers' limits.

use crate::{
    app::{Admitted, Payer},
    config::Measure,
    ops::{Caller, OpError},
};

impl Caller<'_> {
    /// Takes one turn, and a place among those that run. Nothing was stored yet: who is refused may try again later.
    pub async fn admit_turn(&self) -> Result<Admitted, OpError> {
        let limits = &self.generation.config.limits;
        let (limiter, payer) = (&self.app.limiter, self.payer());
        let permit = limiter.stream(limits, &payer).await?;
        let mut near = limiter.check(limits, &payer, Measure::TokensPerDay).await?;
        for measure in [Measure::TurnsPerDay, Measure::TurnsPerMinute] {
            near.extend(limiter.take(limits, &payer, measure, 1).await?);
        }
        Ok(Admitted { permit: Some(permit), near })
    }

    /// Takes so much of what may be uploaded.
    pub async fn admit_upload(&self, bytes: u64) -> Result<(), OpError> {
        let limits = &self.generation.config.limits;
        let payer = self.payer();
        self.app.limiter.take(limits, &payer, Measure::UploadBytesPerDay, bytes).await?;
        Ok(())
    }

    fn payer(&self) -> Payer<'_> {
        Payer::of(Some(self.user), self.context.address)
    }
}
