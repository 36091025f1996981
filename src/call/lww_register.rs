//! Values of which the newest counts, in whatever order they arrive.

use super::fact::EpochMs;

/// The newest of the values that events told, by task version, then time, then value: the order of arrival does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LwwRegister<T> {
    value: Option<((u64, EpochMs), T)>,
}

impl<T> Default for LwwRegister<T> {
    fn default() -> Self {
        Self { value: None }
    }
}

impl<T: Clone + Ord> LwwRegister<T> {
    pub(super) fn tell(&mut self, order: (u64, EpochMs), value: Option<T>) {
        if let Some(value) = value {
            let told = (order, value);
            if self.value.as_ref().is_none_or(|known| known < &told) {
                self.value = Some(told);
            }
        }
    }

    pub(super) fn get(&self) -> Option<&T> {
        self.value.as_ref().map(|(_, value)| value)
    }
}
