//! The commits and credits that overrides name.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::balance::{self, BalanceType};
use super::rate_override::{self, Specifier, Targeting};
use super::recurring_grant::{self, GrantKind};
use crate::error::ApiError;
use crate::id::{BalanceId, CustomerId, EnvironmentId, RecurringGrantId};

/// Those that the overrides of a contract or of a package may name, and what each of them is.
#[derive(Default)]
pub struct Nameables {
    pub balances: BTreeMap<BalanceId, BalanceType>,
    pub recurring: BTreeMap<RecurringGrantId, GrantKind>,
}

impl Nameables {
    /// Those among what the overrides name that the customer has.
    pub async fn of_customer<'a>(
        db: &mut PgConnection,
        environment_id: EnvironmentId,
        customer_id: CustomerId,
        targetings: impl Iterator<Item = &'a Targeting> + Clone,
    ) -> Result<Self, sqlx::Error> {
        let specifiers = targetings.flat_map(|targeting| &targeting.specifiers);
        let ids = |of: fn(&Specifier) -> &Vec<Uuid>| -> Vec<Uuid> {
            let any = |specifier: &'a Specifier| &specifier.any_commit_or_credit_ids;
            specifiers
                .clone()
                .flat_map(|specifier| of(specifier).iter().chain(any(specifier)))
                .copied()
                .collect()
        };
        let commit_ids = ids(|specifier| &specifier.commit_ids);
        let balances = balance::types(db, environment_id, customer_id, &commit_ids).await?;
        let recurring_ids = ids(|specifier| &specifier.recurring_commit_ids);
        let recurring = recurring_grant::kinds(db, environment_id, customer_id, &recurring_ids).await?;
        Ok(Self { balances, recurring })
    }

    /// 404 for an override of a request that names a commit or credit which is none of these, recurring or not.
    pub fn check<'a>(&self, targetings: impl Iterator<Item = &'a Targeting>) -> Result<(), ApiError> {
        for (index, targeting) in targetings.enumerate() {
            for (place, specifier) in targeting.specifiers.iter().enumerate() {
                self.check_specifier(&format!("overrides[{index}].override_specifiers[{place}]"), specifier)?;
            }
        }
        Ok(())
    }

    fn check_specifier(&self, path: &str, specifier: &Specifier) -> Result<(), ApiError> {
        let unknown = |field, at: usize, what, id| Err(rate_override::unknown(path, field, at, what, id));
        let (commits, any) = (&specifier.commit_ids, &specifier.any_commit_or_credit_ids);
        if let Some(at) = commits.iter().position(|id| !self.is_commit(*id)) {
            return unknown("commit_ids", at, "commit", commits[at]);
        }
        let recurring = &specifier.recurring_commit_ids;
        if let Some(at) = recurring.iter().position(|id| !self.is_recurring_commit(*id)) {
            return unknown("recurring_commit_ids", at, "recurring commit", recurring[at]);
        }
        if let Some(at) = any.iter().position(|id| !self.is_any(*id)) {
            return unknown("any_commit_or_credit_ids", at, "commit or credit", any[at]);
        }
        Ok(())
    }

    fn is_commit(&self, id: Uuid) -> bool {
        self.balances.get(&BalanceId(id)).is_some_and(|is| *is != BalanceType::Credit)
    }

    fn is_recurring_commit(&self, id: Uuid) -> bool {
        self.recurring.get(&RecurringGrantId(id)) == Some(&GrantKind::Commit)
    }

    fn is_any(&self, id: Uuid) -> bool {
        self.balances.contains_key(&BalanceId(id)) || self.recurring.contains_key(&RecurringGrantId(id))
    }
}
