//! Metrics with labels: a series for each combination.

use crate::call::sid::AccountSid;
use prometheus_client::encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Names and values of an instrument's labels.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Counters, one for each combination of labels.
pub type Counters<const N: usize> = Family<Labels<N>, Counter>;

/// Counters, one for each combination of labels and account.
pub type AccountCounters<const N: usize> = Family<AccountLabels<N>, Counter>;

/// Histograms of seconds, one for each combination of labels.
pub type Times<const N: usize> = Family<Labels<N>, Histogram>;

/// Names and values of labels, and the label `account`, which is absent where the account is not known. Only accounts from the
/// configuration are counted, so the number of series is bounded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountLabels<const N: usize> {
    labels: Labels<N>,
    account: Option<AccountSid>,
}

impl<const N: usize> AccountLabels<N> {
    /// Labels of one account's series.
    pub fn new(labels: Labels<N>, account: Option<&AccountSid>) -> Self {
        Self { labels, account: account.cloned() }
    }
}

impl<const N: usize> EncodeLabelSet for AccountLabels<N> {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), std::fmt::Error> {
        self.labels.encode(encoder)?;
        let Some(account) = &self.account else { return Ok(()) };
        ("account", account.as_str()).encode(encoder.encode_label())
    }
}

/// Prometheus cannot see the first increase of a series that appears with it.
pub(super) fn begin(counters: &Counters<1>, label: &'static str, values: &[&'static str]) {
    for value in values {
        counters.get_or_create(&[(label, value)]).inc_by(0);
    }
}
