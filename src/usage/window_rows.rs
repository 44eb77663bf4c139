//! Usage by window, from rollups and from what is in none yet.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;

use super::calc::{Counts, Hour, Tally, Windows, groups_by_id};
use super::store::{Distinct, PostgresRollups, Question, RollupStore};
use crate::catalog::billable_metric::AggregationType;
use crate::id::{BillableMetricId, CustomerId, EnvironmentId, GroupId, SubjectId};
use crate::money::{plain, zero};

/// The usage of one customer and metric in one window and, where it is split, of one group, with every digit.
#[derive(Clone, Debug)]
pub struct WindowRow {
    pub customer_id: CustomerId,
    pub metric_id: BillableMetricId,
    pub window: i64,
    /// In the order of the places that were asked for.
    pub group_values: Vec<String>,
    /// One of the metric's groups that have these values, where the question splits.
    pub group_id: Option<GroupId>,
    /// Unset where events match but none has a number to read.
    pub value: Option<String>,
}

impl WindowRow {
    /// The customer, the metric and the number of the window.
    #[must_use]
    pub fn slot(&self) -> ((CustomerId, BillableMetricId), i64) {
        ((self.customer_id, self.metric_id), self.window)
    }
}

/// Which of all rows to answer.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    /// Only rows behind this window and these group values.
    pub after: Option<(i64, Vec<String>)>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// A question by its place among all, a window, and the group values in the order of the places that were asked for.
type Slot = (usize, i64, Vec<String>);

/// What is in a slot.
#[derive(Default)]
struct Merged {
    tally: Tally,
    group_id: Option<GroupId>,
}

/// The absolute usage by customer, metric, window and group values, in that order, texts in byte order. Only windows
/// with events come back, and only groups with events in them.
///
/// `uncounted` is what the rollups of the transaction do not have, of all subjects and metrics of the questions.
pub async fn window_rows(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    questions: &[Question],
    windows: &Windows,
    cut: &Cut,
    uncounted: &Counts,
) -> Result<Vec<WindowRow>, sqlx::Error> {
    let mut slots: HashMap<Slot, Merged> = HashMap::new();
    for part in PostgresRollups.parts(db, environment_id, questions, windows).await? {
        let slot = (part.question, part.window, questions[part.question].shown(&part.group_values));
        match slots.entry(slot) {
            Entry::Occupied(mut known) => known.get_mut().merge(part.group_id, &part.tally),
            Entry::Vacant(new) => {
                new.insert(Merged { tally: part.tally, group_id: part.group_id });
            }
        }
    }
    let mut new_values: Vec<Distinct> = Vec::new();
    for UncountedHour { question: place, hour, group_values, tally } in asked_hours(questions, uncounted) {
        let window = windows.containing(hour.hour);
        let slot = (place, window, questions[place].shown(group_values));
        new_values.extend(tally.uniques.iter().map(|value| Distinct {
            question: place,
            window,
            group_values: slot.2.clone(),
            value: *value,
        }));
        slots.entry(slot).or_default().merge(Some(hour.group_id), tally);
    }
    let uniques = PostgresRollups.count_distinct(db, environment_id, questions, windows, &new_values).await?;

    let is_after = |(_, window, values): &Slot| {
        cut.after.as_ref().is_none_or(|after| (*window, values) > (after.0, &after.1))
    };
    let mut slots: Vec<(Slot, Merged)> = slots.into_iter().filter(|(slot, _)| is_after(slot)).collect();
    slots.sort_unstable_by(|(one, _), (other, _)| order(questions, one).cmp(&order(questions, other)));
    slots.truncate(cut.limit.unwrap_or(usize::MAX));
    let row = |(slot, merged): (Slot, Merged)| {
        let question = &questions[slot.0];
        let value = match question.aggregation {
            AggregationType::Unique => Some(uniques.get(&slot).copied().unwrap_or_default().to_string()),
            aggregation => merged.tally.value(aggregation),
        };
        WindowRow {
            customer_id: question.customer_id,
            metric_id: question.metric_id,
            window: slot.1,
            group_id: merged.group_id.filter(|_| !question.group_places.is_empty()),
            group_values: slot.2,
            value,
        }
    };
    Ok(slots.into_iter().map(row).collect())
}

/// What the rows are sorted by.
fn order<'s>(
    questions: &[Question],
    (place, window, values): &'s Slot,
) -> (CustomerId, BillableMetricId, i64, &'s [String]) {
    let Question { customer_id, metric_id, .. } = questions[*place];
    (customer_id, metric_id, *window, values)
}

impl Merged {
    fn merge(&mut self, group_id: Option<GroupId>, tally: &Tally) {
        self.tally.merge(tally);
        self.group_id = self.group_id.into_iter().chain(group_id).min();
    }
}

/// The group values with events, of questions that split by one place each: of each question the first `limit` in byte
/// order. `uncounted` is as for [`window_rows`].
pub async fn group_values(
    db: &mut PgConnection,
    environment_id: EnvironmentId,
    questions: &[Question],
    limit: usize,
    uncounted: &Counts,
) -> Result<HashMap<(CustomerId, BillableMetricId), Vec<String>>, sqlx::Error> {
    let mut found: HashMap<_, BTreeSet<String>> = HashMap::new();
    for row in PostgresRollups.group_values(db, environment_id, questions, limit).await? {
        found.entry((row.customer_id, row.metric_id)).or_default().insert(row.value);
    }
    for UncountedHour { question, group_values, .. } in asked_hours(questions, uncounted) {
        let question = &questions[question];
        let mut shown = question.shown(group_values);
        found.entry((question.customer_id, question.metric_id)).or_default().insert(shown.remove(0));
    }
    Ok(found.into_iter().map(|(asked, values)| (asked, values.into_iter().take(limit).collect())).collect())
}

/// An hour in no rollup yet that a question asks for.
struct UncountedHour<'a> {
    /// The question's place among all.
    question: usize,
    hour: &'a Hour,
    group_values: &'a [String],
    tally: &'a Tally,
}

/// Every hour for each question that asks for it.
fn asked_hours<'a>(
    questions: &'a [Question],
    uncounted: &'a Counts,
) -> impl Iterator<Item = UncountedHour<'a>> {
    let mut asking: HashMap<(SubjectId, BillableMetricId), Vec<usize>> = HashMap::new();
    for (place, question) in questions.iter().enumerate() {
        for subject_id in &question.subject_ids {
            asking.entry((*subject_id, question.metric_id)).or_default().push(place);
        }
    }
    let known = groups_by_id(uncounted);
    uncounted.hours.iter().flat_map(move |(hour, tally)| {
        let group_values = known[&(hour.metric_id, hour.group_id)];
        let places = asking.get(&(hour.subject_id, hour.metric_id)).cloned().unwrap_or_default();
        places.into_iter().filter_map(move |place| {
            let question = &questions[place];
            let is_asked = question.period.contains(hour.hour) && question.keeps(group_values);
            is_asked.then_some(UncountedHour { question: place, hour, group_values, tally })
        })
    })
}

impl Tally {
    /// The aggregate with every digit; unset where events match but none has a number to read.
    fn value(&self, aggregation: AggregationType) -> Option<String> {
        match aggregation {
            AggregationType::Count => Some(self.event_count.to_string()),
            AggregationType::Sum => Some(plain(self.total.as_ref().unwrap_or(&zero()))),
            AggregationType::Max => self.greatest.as_ref().map(plain),
            AggregationType::Latest => self.latest.as_ref().map(|latest| plain(&latest.value)),
            AggregationType::Unique => Some(self.uniques.len().to_string()),
        }
    }
}
