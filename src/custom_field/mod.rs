//! Custom fields: what a company writes on its objects for its own use.
//!
//! Owns: the keys that each type of object may carry, their values, and the rule that a value may be held by one
//! object only. Does not own: the objects. What is shown of an object [`Carries`] its
//! fields and is given them by [`show`]; `entity`, which knows every type, sets them.
//!
//! Invariants: a value stands only under a key that is on the list of its type (a foreign key); a key that
//! enforces uniqueness has no two equal values, archived objects included (a unique index); setting several
//! fields sets all or none.

pub mod add_key;
mod known;
pub mod list_keys;
pub mod remove_key;
mod shown;
mod store;
mod value;

pub use known::of_all_in;
pub use shown::{Carries, show, show_one};
pub use store::{copy, delete, of_all, of_many, set};
pub use value::{CustomFields, CustomFieldsInput};

use crate::casing::wire_enum;

wire_enum! {
    /// The types of objects that carry custom fields (schema `ManagedEntity`; the last three are of the legacy
    /// Plans API).
    pub enum ManagedEntity {
        Alert = "alert",
        BillableMetric = "billable_metric",
        Charge = "charge",
        Commit = "commit",
        ContractCredit = "contract_credit",
        ContractProduct = "contract_product",
        Contract = "contract",
        Customer = "customer",
        Discount = "discount",
        Invoice = "invoice",
        ProfessionalService = "professional_service",
        Product = "product",
        RateCard = "rate_card",
        ScheduledCharge = "scheduled_charge",
        Subscription = "subscription",
        PackageCommit = "package_commit",
        PackageCredit = "package_credit",
        PackageSubscription = "package_subscription",
        PackageScheduledCharge = "package_scheduled_charge",
        CreditGrant = "credit_grant",
        CustomerPlan = "customer_plan",
        Plan = "plan",
    }
}
