use crate::time::{Instant, shown};

/// Why a statement cannot be priced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RatingFault {
    #[error("product `{product}`: an amount from {} on has more digits than any bill can hold", shown(*.start))]
    TooLarge { product: String, start: Instant },
    #[error("what is due in {unit} has more digits than any bill can hold")]
    TooMuchOfUnit { unit: String },
    #[error(
        "product `{product}` is a share of what the customer spends in {unit} under another contract, in which its own \
         rate card does not price"
    )]
    ForeignUnit { product: String, unit: String },
    #[error("product `{product}` is a member of itself")]
    CompositeOfItself { product: String },
}
